// cli/engine/template.ts — a conversation as parts of prompt. What the template writes may contain control tokens; what people wrote may not:
// every content is rendered as an unguessable mark and put back afterwards as a part of its own, so it can neither open nor close a message.
import { Template } from '@huggingface/jinja'

export type Role = 'system' | 'user' | 'assistant' | 'tool'
export type Message = { readonly role: Role; readonly content: string }

/** `isTemplate` says who wrote the text: control tokens are recognised only where it is true. */
export type Part = { readonly text: string; readonly isTemplate: boolean }

export type Rendered = { readonly ok: true; readonly parts: readonly Part[] } | { readonly ok: false; readonly message: string }

export type ChatTemplate = { readonly source: string; readonly bosText: string; readonly eosText: string }

/** What a model without a template of its own gets: llama.cpp's default as well. */
export const chatMl =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

/**
 * Renders `messages` up to the place where the assistant speaks. `nonce` must be fresh and unguessable, hexadecimal, for each request.
 * Refused with the template's own words when it does not accept the conversation (for example two user messages in a row).
 */
export function renderChat(template: ChatTemplate, messages: readonly Message[], nonce: string): Rendered {
  // An empty content stays empty: templates ask `if message.content`.
  const mark = (index: number): string => `[${nonce}:${index}]`
  const marked = messages.map((message, index) => ({ role: message.role, content: message.content === '' ? '' : mark(index) }))
  const rendered = render(template, marked)
  if (!rendered.ok) return rendered
  const parts = split(rendered.text, messages, nonce)
  const isMangled = parts.some((part) => part.isTemplate && part.text.toLowerCase().includes(nonce))
  if (isMangled) return { ok: false, message: "the model's chat template alters the text of messages" }
  return { ok: true, parts }
}

function render(
  template: ChatTemplate,
  messages: readonly Message[],
): { readonly ok: true; readonly text: string } | { readonly ok: false; readonly message: string } {
  try {
    const text = new Template(template.source).render({
      messages,
      add_generation_prompt: true,
      bos_token: template.bosText,
      eos_token: template.eosText,
    })
    return { ok: true, text }
  } catch (error) {
    return {
      ok: false,
      message: `the model's chat template refuses these messages: ${error instanceof Error ? error.message : String(error)}`,
    }
  }
}

function split(text: string, messages: readonly Message[], nonce: string): readonly Part[] {
  // Split at marks and with their numbers kept, every second piece is a number.
  return text
    .split(new RegExp(`\\[${nonce}:(\\d+)\\]`))
    .map((piece, index): Part =>
      index % 2 === 0 ? { text: piece, isTemplate: true } : { text: messages[Number(piece)]?.content ?? '', isTemplate: false },
    )
    .filter((part) => part.text !== '')
}
