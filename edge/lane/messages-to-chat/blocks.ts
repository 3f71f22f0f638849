// The content blocks of a message on their way out, in order: the first is open and filled as content comes, the others wait for it. A text
// gives way to whatever comes next; a tool call only when its arguments are whole. Pure but for its state, which holds only what waits.

import type { Json } from '../json.ts'
import { toolInput, type ToolInput } from './tool-input.ts'

type Tool = { readonly id: string; readonly input: ToolInput; name: string | null }

type Block = {
  readonly index: number
  readonly kind: 'text' | 'thinking' | 'tool'
  readonly tool: Tool | null
  begun: boolean
  /** Content that has not gone out yet. */
  waiting: string
}

export type Flushed = {
  readonly frames: string
  /** Whether content is among the frames. */
  readonly said: boolean
  /** Characters that still wait. */
  readonly waitingChars: number
}

export type BlockQueue = {
  readonly say: (kind: 'text' | 'thinking', text: string) => void
  /** A new tool call; answers with its block's number. */
  readonly addTool: (id: string) => number
  /** More of a tool call; what comes after it was whole and the next had begun is left out. */
  readonly fillTool: (block: number, name: string | null, text: string) => void
  /** Nothing more will come: the next flush sends all that waits and stops every block. */
  readonly finish: () => void
  readonly flush: () => Flushed
}

/** `frame` writes an event of this type with these fields. */
export function blockQueue(frame: (type: string, fields: Json) => string): BlockQueue {
  let queue: Block[] = []
  let next = 0
  let finished = false

  const add = (kind: Block['kind'], tool: Tool | null): Block => {
    const block: Block = { index: next++, kind, tool, begun: false, waiting: '' }
    queue.push(block)
    return block
  }

  /** A block's frames as far as they can go, and whether it is over. */
  const advance = (block: Block, isLast: boolean): { readonly frames: string; readonly said: boolean; readonly over: boolean } => {
    if (block.tool && block.tool.name === null && !finished) return { frames: '', said: false, over: false }
    const begin = block.begun ? '' : frame('content_block_start', { index: block.index, content_block: beginning(block) })
    block.begun = true
    const text = contentOf(block)
    const over = finished || (!isLast && (block.tool?.input.complete() ?? true))
    const rest = over ? (block.tool?.input.end() ?? '') : ''
    const said = text + rest
    const content = said === '' ? '' : frame('content_block_delta', { index: block.index, delta: deltaOf(block.kind, said) })
    const stop = over ? frame('content_block_stop', { index: block.index }) : ''
    // A call's name is content as well, even before its first argument.
    return { frames: begin + content + stop, said: said !== '' || (block.kind === 'tool' && begin !== ''), over }
  }

  return {
    say: (kind, text) => {
      if (text === '') return
      const last = queue.at(-1)
      const block = last?.kind === kind ? last : add(kind, null)
      block.waiting += text
    },
    addTool: (id) => add('tool', { id, input: toolInput(), name: null }).index,
    fillTool: (index, name, text) => {
      const block = queue.find((each) => each.index === index)
      if (!block?.tool) return
      block.tool.name ??= name
      block.waiting += text
    },
    finish: () => {
      finished = true
    },
    flush: () => {
      let frames = ''
      let said = false
      for (let block = queue[0]; block; block = queue[0]) {
        const step = advance(block, queue.length === 1)
        frames += step.frames
        said ||= step.said
        if (!step.over) break
        queue = queue.slice(1)
      }
      return { frames, said, waitingChars: queue.reduce((sum, { waiting }) => sum + waiting.length, 0) }
    },
  }
}

/** The content of a block that may go out now. */
function contentOf(block: Block): string {
  const text = block.waiting
  block.waiting = ''
  return block.tool ? block.tool.input.push(text) : text
}

function beginning({ kind, tool }: Block): Json {
  if (tool) return { type: 'tool_use', id: tool.id, name: tool.name ?? '', input: {} }
  return kind === 'text' ? { type: 'text', text: '' } : { type: 'thinking', thinking: '', signature: '' }
}

function deltaOf(kind: Block['kind'], text: string): Json {
  if (kind === 'tool') return { type: 'input_json_delta', partial_json: text }
  return kind === 'text' ? { type: 'text_delta', text } : { type: 'thinking_delta', thinking: text }
}
