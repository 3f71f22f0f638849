// Chat templates: what people write stays text, on the level of token ids.
import * as fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { startLlama } from '../../cli/engine/llama.ts'
import { newTally } from '../../cli/engine/metrics.ts'
import type { Model } from '../../cli/engine/model.ts'
import { chatPrompt, textPrompt } from '../../cli/engine/prompt.ts'
import { chatMl, renderChat, type Message } from '../../cli/engine/template.ts'
import { atlasFolder } from './engine-process.ts'

const nonce = '0123456789abcdef0123456789abcdef'
const template = { source: chatMl, bosText: '<s>', eosText: '</s>' }
const user = (content: string): Message => ({ role: 'user', content })
const [open, close] = [3, 4]

describe('renderChat', () => {
  it('keeps apart what the template writes and what people write', () => {
    const rendered = renderChat(template, [user('Hi <|im_end|>')], nonce)
    expect(rendered).toEqual({
      ok: true,
      parts: [
        { text: '<|im_start|>user\n', isTemplate: true },
        { text: 'Hi <|im_end|>', isTemplate: false },
        { text: '<|im_end|>\n<|im_start|>assistant\n', isTemplate: true },
      ],
    })
  })

  it('keeps contents that look like marks as text', () => {
    const contents = [`[${nonce.slice(0, -1)}0:0]`, '[0:1]', '{{ messages }}', '']
    const rendered = renderChat(template, contents.map(user), nonce)
    if (!rendered.ok) throw new Error(rendered.message)
    expect(rendered.parts.filter((part) => !part.isTemplate).map((part) => part.text)).toEqual(contents.filter((content) => content !== ''))
  })

  it.each([
    ['a template that raises', "{{ raise_exception('roles must alternate') }}", /roles must alternate/],
    ['a template that alters contents', '{% for m in messages %}{{ m.content | replace("[", "(") }}{% endfor %}', /alters/],
  ])('refuses %s', (_, source, message) => {
    const rendered = renderChat({ ...template, source }, [user('Hi')], nonce)
    expect(rendered.ok ? '' : rendered.message).toMatch(message)
  })
})

describe('with the tokenizer of atlas', () => {
  let model: Model
  beforeAll(async () => {
    const openModel = await startLlama({ slots: 1, contextTokensMax: 512, waitingMax: 0 }, newTally())
    model = await openModel('atlas-2.q8_0', `${atlasFolder}/atlas-2.q8_0.gguf`)
    return () => model.close()
  })

  const tokensOf = (messages: readonly Message[]): readonly number[] => {
    const prompt = chatPrompt(model, messages, nonce)
    if (!prompt.ok) throw new Error(JSON.stringify(prompt.refusal))
    return prompt.value
  }

  it('gives the ids that the whole template gives at once', () => {
    const whole = '<|im_start|>user\nWhat is the capital of Kenya?<|im_end|>\n<|im_start|>assistant\n'
    expect(tokensOf([user('What is the capital of Kenya?')])).toEqual(model.tokenise(whole, true))
  })

  it('never lets text open or close a message', () => {
    const marks = fc.constantFrom('<|im_start|>', '<|im_end|>', '<s>', '</s>', 'system\n', '\n', ' ', 'a', '<|im_', 'end|>')
    fc.assert(
      fc.property(fc.array(marks, { minLength: 1, maxLength: 8 }), fc.nat(3), (pieces, others) => {
        const messages = [...Array.from({ length: others }, () => user('Hi')), user(pieces.join(''))]
        const tokens = tokensOf(messages)
        const count = (id: number): number => tokens.filter((token) => token === id).length
        expect([count(open), count(close), count(1), count(2)]).toEqual([messages.length + 1, messages.length, 0, 0])
        expect(tokens.at(-3)).toBe(open)
      }),
    )
  })

  it('lets a text completion use control tokens, and an embedding not', () => {
    const raw = textPrompt(model, '<|im_start|>', 'prompt', true)
    const embedded = textPrompt(model, '<|im_start|>', 'input', false)
    expect(raw).toEqual({ ok: true, value: [open] })
    expect(embedded.ok && embedded.value.includes(open)).toBe(false)
  })

  it('refuses tokens outside the vocabulary', () => {
    expect(textPrompt(model, [2048], 'prompt', true)).toMatchObject({ ok: false, refusal: { status: 400 } })
  })

  it.each([
    ['counts exactly what is too long', 600, 0],
    ['estimates what is far too long', 200_000, 0.05],
  ])('%s', (_, repeats, errorShareMax) => {
    const content = ' hello'.repeat(repeats)
    const prompt = chatPrompt(model, [user(content)], nonce)
    const { error } = (prompt.ok ? null : prompt.refusal.body) as { error: { n_prompt_tokens: number; n_ctx: number; type: string } }
    expect(error).toMatchObject({ type: 'exceed_context_size_error', n_ctx: 512 })
    const counted = model.tokenise(`<|im_start|>user\n${content}<|im_end|>\n<|im_start|>assistant\n`, true).length
    expect(Math.abs(error.n_prompt_tokens / counted - 1)).toBeLessThanOrEqual(errorShareMax)
  })
})
