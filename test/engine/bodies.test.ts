// Bodies: what is read, what is ignored, and how a refusal names the place.
import { describe, expect, it } from 'vitest'
import { readChat } from '../../cli/engine/chat.ts'
import { readCompletions } from '../../cli/engine/completions.ts'
import { embeddingsAnswer, readEmbeddings, unitVector } from '../../cli/engine/embeddings.ts'
import type { Result } from '../../cli/engine/refuse.ts'

const messages = [{ role: 'user', content: 'Hi' }]
const problemOf = <T>(result: Result<T>): unknown =>
  result.ok ? null : (result.refusal.body as { error: { param: string | null; message: string } }).error

describe('readChat', () => {
  it('fills in what is left out or null, and ignores what it does not know', () => {
    const read = readChat({ messages, temperature: null, stop: null, tools: [], user: 'x', metadata: {} }, 0)
    expect(read).toEqual({
      ok: true,
      value: {
        model: null,
        isStream: false,
        includeUsage: false,
        choices: 1,
        sampling: { temperature: 0, topP: 1, seed: null, tokensMax: null, stops: [], topLogprobs: null },
        messages,
      },
    })
  })

  it('joins text parts, calls a developer system, and takes a null content as empty', () => {
    const read = readChat(
      {
        messages: [
          { role: 'developer', content: 'Be brief' },
          {
            role: 'user',
            content: [
              { type: 'text', text: 'a' },
              { type: 'text', text: 'b' },
            ],
          },
          { role: 'assistant', content: null },
        ],
      },
      0,
    )
    expect(read.ok && read.value.messages).toEqual([
      { role: 'system', content: 'Be brief' },
      { role: 'user', content: 'ab' },
      { role: 'assistant', content: '' },
    ])
  })

  it('prefers max_completion_tokens to max_tokens', () => {
    const read = readChat({ messages, max_tokens: 5, max_completion_tokens: 7 }, 0)
    expect(read.ok && read.value.sampling.tokensMax).toBe(7)
  })

  it.each([
    [{}, 'messages', /Missing field 'messages'/],
    [{ messages: [] }, 'messages', /at least one message/],
    [{ messages: [{ role: 'robot', content: '' }] }, 'messages[0].role', /one of 'system'/],
    [{ messages: [{ role: 'user', content: 3 }] }, 'messages[0].content', /a string or a list/],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 'messages[0].content[0].type', /only parts of type 'text'/],
    [{ messages, temperature: 'hot' }, 'temperature', /must be a number/],
    [{ messages, temperature: 3 }, 'temperature', /from 0 to 2/],
    [{ messages, top_p: -1 }, 'top_p', /from 0 to 1/],
    [{ messages, n: 5 }, 'n', /from 1 to 4/],
    [{ messages, max_tokens: 0 }, 'max_tokens', /must be from 1/],
    [{ messages, seed: 1.5 }, 'seed', /whole number/],
    [{ messages, stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop', /at most 4/],
    [{ messages, stop: '' }, 'stop', /must not be empty/],
    [{ messages, stop: [''] }, 'stop[0]', /must not be empty/],
    [{ messages, stream: 'yes' }, 'stream', /true or false/],
    [{ messages, stream_options: { include_usage: 1 } }, 'stream_options.include_usage', /true or false/],
    [{ messages, top_logprobs: 2 }, 'top_logprobs', /needs 'logprobs'/],
    [{ messages, logprobs: true, top_logprobs: 21 }, 'top_logprobs', /from 0 to 20/],
    [{ messages, model: 7 }, 'model', /must be a string/],
    ['text', null, /must be a JSON object/],
  ])('refuses %j', (body, param, message) => {
    expect(problemOf(readChat(body, 0))).toMatchObject({ param, message: expect.stringMatching(message) })
  })
})

describe('readCompletions', () => {
  it.each([
    ['text', 'a', ['a']],
    ['a list of texts', ['a', 'b'], ['a', 'b']],
    ['tokens', [1, 2], [[1, 2]]],
    ['lists of tokens', [[1], [2, 3]], [[1], [2, 3]]],
  ])('reads %s', (_, prompt, prompts) => {
    const read = readCompletions({ prompt }, 0)
    expect(read.ok && read.value.prompts).toEqual(prompts)
  })

  it.each([
    [{}, 'prompt', /Missing field 'prompt'/],
    [{ prompt: [] }, 'prompt', /must not be empty/],
    [{ prompt: Array.from({ length: 17 }, () => 'a') }, 'prompt', /at most 16/],
    [{ prompt: ['a', 'b', 'c', 'd', 'e'], n: 4 }, 'n', /at most 16/],
    [{ prompt: [1, 'a'] }, 'prompt[1]', /must be a token/],
    [{ prompt: 'a', logprobs: 30 }, 'logprobs', /from 0 to 20/],
    [{ prompt: 'a', echo: true }, 'echo', /not supported/],
    [{ prompt: 'a', suffix: 'b' }, 'suffix', /not supported/],
  ])('refuses %j', (body, param, message) => {
    expect(problemOf(readCompletions(body, 0))).toMatchObject({ param, message: expect.stringMatching(message) })
  })
})

describe('embeddings', () => {
  it.each([
    [{}, 'input', /Missing field 'input'/],
    [{ input: '' }, 'input', /must not be empty/],
    [{ input: ['a', ''] }, 'input[1]', /must not be empty/],
    [{ input: Array.from({ length: 257 }, () => 'a') }, 'input', /at most 256/],
    [{ input: 'a', encoding_format: 'hex' }, 'encoding_format', /'float' or 'base64'/],
  ])('refuses %j', (body, param, message) => {
    expect(problemOf(readEmbeddings(body))).toMatchObject({ param, message: expect.stringMatching(message) })
  })

  it('says the same vector in both encodings', () => {
    const vector = unitVector([3, 4])
    const floats = embeddingsAnswer('m', [vector], 'float', 2) as { data: [{ embedding: number[] }] }
    const text = embeddingsAnswer('m', [vector], 'base64', 2) as { data: [{ embedding: string }] }
    const bytes = Buffer.from(text.data[0].embedding, 'base64')
    expect([bytes.readFloatLE(0), bytes.readFloatLE(4)]).toEqual(floats.data[0].embedding)
    expect(floats.data[0].embedding.map((value) => value.toFixed(3))).toEqual(['0.600', '0.800'])
  })

  it('leaves a zero vector alone', () => {
    expect([...unitVector([0, 0])]).toEqual([0, 0])
  })
})
