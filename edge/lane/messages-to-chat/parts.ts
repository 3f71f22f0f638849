// Content blocks as parts of a chat message. What is text in any wrapping is carried as text; images as image_url; the rest is named. Pure.

import { isRecord, textOf, type Json } from '../json.ts'
import type { Dropped } from './dropped.ts'

export type Part =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image_url'; readonly image_url: { readonly url: string } }

/** The parts that a block becomes: none (then it is named), one or more. */
export function partsOf(block: unknown, path: string, dropped: Dropped): readonly Part[] {
  const parts = isRecord(block) ? readPart(block, path, dropped) : null
  if (parts) return parts
  dropped.name(path)
  return []
}

/** The texts of a list of blocks; blocks that are no text are named. `first` is the index of the list's first block in its path. */
export function textsOf(blocks: unknown, path: string, dropped: Dropped, first = 0): readonly string[] {
  if (!Array.isArray(blocks)) return []
  return blocks.flatMap((block: unknown, index) => {
    const at = `${path}[${first + index}]`
    if (isRecord(block) && block['type'] === 'text')
      return partsOf(block, at, dropped).flatMap((part) => (part.type === 'text' ? [part.text] : []))
    dropped.name(at)
    return []
  })
}

function readPart(block: Json, path: string, dropped: Dropped): readonly Part[] | null {
  switch (block['type']) {
    case 'text':
      dropped.others(block, ['type', 'text'], path)
      return typeof block['text'] === 'string' ? [{ type: 'text', text: block['text'] }] : null
    case 'image': {
      const url = imageUrl(block['source'])
      if (url === null) return null
      dropped.others(block, ['type', 'source'], path)
      return [{ type: 'image_url', image_url: { url } }]
    }
    case 'document':
      return documentOf(block, path, dropped)
    case 'search_result':
      dropped.others(block, ['type', 'source', 'title', 'content'], path)
      return [textPart([block['title'], block['source'], ...textsOf(block['content'], `${path}.content`, dropped)])]
    default:
      return null
  }
}

/** An image by address, or in the address itself; one that lies in Anthropic's file store cannot be reached from here. */
function imageUrl(source: unknown): string | null {
  if (!isRecord(source)) return null
  if (source['type'] === 'url') return textOf(source['url'])
  const { media_type: mediaType, data } = source
  return source['type'] === 'base64' && textOf(mediaType) && textOf(data) ? `data:${String(mediaType)};base64,${String(data)}` : null
}

/** Documents of plain text are carried; those that would have to be read first (PDF) are not. */
function documentOf(block: Json, path: string, dropped: Dropped): readonly Part[] | null {
  const { source, title, context } = block
  if (!isRecord(source)) return null
  const inner = `${path}.source.content`
  if (source['type'] === 'text' && typeof source['data'] === 'string') {
    dropped.others(block, ['type', 'source', 'title', 'context'], path)
    return [textPart([title, context, source['data']])]
  }
  if (source['type'] !== 'content') return null
  dropped.others(block, ['type', 'source', 'title', 'context'], path)
  const { content } = source
  const blocks: readonly unknown[] = Array.isArray(content) ? content : []
  const parts =
    typeof content === 'string' ? [textPart([content])] : blocks.flatMap((each, index) => partsOf(each, `${inner}[${index}]`, dropped))
  const head = [title, context].filter((text) => textOf(text) !== null)
  return head.length > 0 ? [textPart(head), ...parts] : parts
}

const textPart = (texts: readonly unknown[]): Part => ({ type: 'text', text: texts.filter((text) => textOf(text) !== null).join('\n') })
