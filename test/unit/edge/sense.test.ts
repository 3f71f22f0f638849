// What answers are worth, as lanes see them pass: in one piece and in many, in each dialect.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { look } from '../../../edge/lane/sense.ts'
import { textHash } from '../../../edge/lane/text-hash.ts'
import { chatWanted, generateWanted, messagesWanted, responsesWanted } from '../../../edge/lane/wanted.ts'
import type { EventLane, Lane, Sense } from '../../../edge/lane/lane.ts'
import { countTokensLane, messagesLane } from '../../../edge/lane/messages.ts'
import { messagesToChatLane } from '../../../edge/lane/messages-to-chat.ts'
import { generateLane, generateStreamLane, inferLane, metadataLane } from '../../../edge/lane/open-inference.ts'
import { chatLane, completionsLane, embeddingsLane } from '../../../edge/lane/openai.ts'
import { responsesLane } from '../../../edge/lane/responses.ts'
import { limits } from '../../../shared/limits.ts'
import { asking, namedSse, runLane, sse } from '../../support/lane-runs.ts'
import { bytes } from '../../support/stream.ts'

const hashOf = (text: string): string => {
  const hash = textHash()
  hash.add(text)
  return hash.digest()
}

const wholeSense = (lane: Lane, ask: Record<string, unknown>, answer: unknown): Sense | null => {
  const read = lane.whole(bytes(JSON.stringify(answer)), 'application/json', asking(ask))
  if (!read.ok) throw new Error(read.error.message)
  return read.value.sense
}

const streamSense = (lane: Lane, ask: Record<string, unknown>, stream: string): Sense | null => {
  const events: EventLane | undefined = lane.events?.(asking({ ...ask, stream: true }))
  if (!events) throw new Error('the lane has no streams')
  expect(runLane(events, stream)).toMatchObject({ fault: null, whole: true })
  return events.sense()
}

const good: Sense = { empty: false, schema: null, textHash: null }
const nothing: Sense = { empty: true, schema: null, textHash: null }
const ask = { model: 'atlas', messages: [{ role: 'user', content: 'Hi' }] }
const jsonAsk = { ...ask, response_format: { type: 'json_object' } }
const schemaAsk = {
  ...ask,
  response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object', required: ['a', 'b'] } } },
}

describe('chat', () => {
  const choice = (message: object, finish = 'stop', index = 0) => ({ index, message, logprobs: null, finish_reason: finish })
  const whole = (...choices: readonly object[]) => ({ object: 'chat.completion', choices })
  const piece = (delta: object, finish: string | null = null, index = 0) => ({ choices: [{ index, delta, finish_reason: finish }] })
  const call = (args: unknown, id = 'c1') => ({ id, type: 'function', function: { name: 'f', arguments: args } })

  it.each<[string, object, readonly object[], Sense]>([
    ['text', ask, [choice({ content: 'Hello' })], good],
    ['text in parts', ask, [choice({ content: [{ type: 'text', text: 'Hello' }] })], good],
    ['no text', ask, [choice({ content: '' })], nothing],
    ['null for text', ask, [choice({ content: null })], nothing],
    ['no choice at all', ask, [], nothing],
    ['thoughts alone', ask, [choice({ content: '', reasoning_content: 'hm' })], nothing],
    ['no text because the limit came first', ask, [choice({ content: '', reasoning_content: 'hm' }, 'length')], good],
    ['a refusal', ask, [choice({ content: null, refusal: 'No.' })], good],
    ['sound', ask, [choice({ content: null, audio: { id: 'x' } })], good],
    ['a call', ask, [choice({ content: null, tool_calls: [call('{"a":1}')] }, 'tool_calls')], { ...good, schema: true }],
    ['a call without arguments', ask, [choice({ content: null, tool_calls: [call('')] })], { ...good, schema: true }],
    ['a call with arguments that are no JSON', ask, [choice({ tool_calls: [call('{"a":')] })], { ...good, schema: false }],
    ['a call with arguments that are no object', ask, [choice({ tool_calls: [call('[1]')] })], { ...good, schema: false }],
    ['a call with an object for arguments', ask, [choice({ tool_calls: [call({ a: 1 })] })], { ...good, schema: true }],
    ['a call of the old kind', ask, [choice({ function_call: { name: 'f', arguments: '{' } })], { ...good, schema: false }],
    ['one bad call of two', ask, [choice({ tool_calls: [call('{}', 'a'), call('{', 'b')] })], { ...good, schema: false }],
    ['the JSON that was asked for', jsonAsk, [choice({ content: ' {"a":[]}\n' })], { ...good, schema: true }],
    ['other JSON than an object', jsonAsk, [choice({ content: '"a"' })], { ...good, schema: false }],
    ['prose where JSON was asked for', jsonAsk, [choice({ content: 'Here: {}' })], { ...good, schema: false }],
    ['half the JSON because the limit came first', jsonAsk, [choice({ content: '{"a":' }, 'length')], good],
    ['a refusal instead of JSON', jsonAsk, [choice({ content: null, refusal: 'No.' })], good],
    ['nothing instead of JSON', jsonAsk, [choice({ content: '' })], nothing],
    ['the keys of the schema', schemaAsk, [choice({ content: '{"b":null,"a":0,"c":1}' })], { ...good, schema: true }],
    ['a missing key of the schema', schemaAsk, [choice({ content: '{"a":0}' })], { ...good, schema: false }],
    ['a key of every object', schemaAsk, [choice({ content: '{"a":0,"toString":1}' })], { ...good, schema: false }],
    ['calls where a schema was asked for', schemaAsk, [choice({ tool_calls: [call('{}')] })], { ...good, schema: true }],
    ['several answers, of which one is bad', jsonAsk, [choice({ content: '{}' }), choice({ content: '{' }, 'stop', 1)], good],
  ])('%s', (_, asked, choices, sense) => {
    expect(wholeSense(chatLane, { ...asked }, whole(...choices))).toEqual(sense)
  })

  const calls = (index: number | undefined, id: string | undefined, name: string | undefined, args: string) =>
    piece({
      tool_calls: [
        { ...(index === undefined ? {} : { index }), ...(id ? { id } : {}), function: { ...(name ? { name } : {}), arguments: args } },
      ],
    })

  it.each<[string, object, readonly object[], Sense]>([
    ['text', ask, [piece({ role: 'assistant', content: '' }), piece({ content: 'He' }), piece({ content: 'llo' }, 'stop')], good],
    ['a regular end without content', ask, [piece({ role: 'assistant', content: '' }), piece({}, 'stop')], nothing],
    ['thoughts, then the limit', ask, [piece({ reasoning_content: 'hm' }), piece({}, 'length')], good],
    ['thoughts, then nothing', ask, [piece({ reasoning_content: 'hm' }), piece({}, 'stop')], nothing],
    ['JSON in pieces', jsonAsk, [piece({ content: '{"a"' }), piece({ content: ':1}' }, 'stop')], { ...good, schema: true }],
    ['broken JSON in pieces', jsonAsk, [piece({ content: '{"a"' }), piece({ content: ':1' }, 'stop')], { ...good, schema: false }],
    [
      'calls told apart by their index',
      ask,
      [calls(0, 'a', 'f', ''), calls(1, 'b', 'f', '{"x":'), calls(0, undefined, undefined, '{}'), calls(1, undefined, undefined, '1}')],
      { ...good, schema: true },
    ],
    ['calls that all have one index', ask, [calls(0, 'a', 'f', '{}'), calls(0, 'b', 'f', '{}')], { ...good, schema: true }],
    ['whole calls without an index', ask, [calls(undefined, 'a', 'f', '{}'), calls(undefined, 'b', 'f', '{}')], { ...good, schema: true }],
    [
      'a call without an index that goes on',
      ask,
      [calls(undefined, 'a', 'f', '{"x"'), calls(undefined, 'a', undefined, ':1'), calls(undefined, undefined, undefined, '}')],
      { ...good, schema: true },
    ],
    ['a broken call', ask, [calls(0, 'a', 'f', '{"x":'), calls(0, undefined, undefined, '"')], { ...good, schema: false }],
  ])('in a stream: %s', (_, asked, pieces, sense) => {
    expect(streamSense(chatLane, { ...asked }, sse(...pieces, '[DONE]'))).toEqual(sense)
  })

  it('a text has a digest where the caller named temperature 0, the same in one piece as in many', () => {
    const exact = { ...ask, temperature: 0 }
    const inOne = wholeSense(chatLane, exact, whole(choice({ content: 'Hello' })))
    const inMany = streamSense(chatLane, exact, sse(piece({ content: 'He' }), piece({ content: 'llo' }, 'stop'), '[DONE]'))
    expect(inOne?.textHash).toBe(hashOf('Hello'))
    expect(inMany).toEqual(inOne)
    expect(wholeSense(chatLane, exact, whole(choice({ content: 'Hallo' })))?.textHash).not.toBe(inOne?.textHash)
    for (const temperature of [0.1, null, '0'])
      expect(wholeSense(chatLane, { ...ask, temperature }, whole(choice({ content: 'Hello' })))?.textHash).toBeNull()
  })

  it('calls are part of the digest, thoughts are not, and several answers have none', () => {
    const exact = { ...ask, temperature: 0 }
    const of = (...choices: readonly object[]) => wholeSense(chatLane, exact, whole(...choices))?.textHash
    expect(of(choice({ tool_calls: [call('{"a":1}')] }))).not.toBe(of(choice({ tool_calls: [call('{"a":2}')] })))
    expect(of(choice({ content: 'a', reasoning_content: 'x' }))).toBe(of(choice({ content: 'a', reasoning_content: 'y' })))
    expect(of(choice({ content: 'a' }), choice({ content: 'b' }, 'stop', 1))).toBeNull()
  })

  it('of a text that is too long to keep its form is not known, and its digest is', () => {
    const long = `{"a":"${'x'.repeat(limits.senseTextCharsMax)}"}`
    const sense = wholeSense(chatLane, { ...jsonAsk, temperature: 0 }, whole(choice({ content: long })))
    expect(sense).toEqual({ empty: false, schema: null, textHash: hashOf(long) })
  })
})

describe('completions', () => {
  const ask = { model: 'atlas', prompt: 'x', temperature: 0 }
  it('look at the text', () => {
    const answer = (text: string) => ({ choices: [{ index: 0, text, logprobs: null, finish_reason: 'stop' }] })
    expect(wholeSense(completionsLane, ask, answer('y'))).toEqual({ ...good, textHash: hashOf('y') })
    expect(wholeSense(completionsLane, ask, answer(''))?.empty).toBe(true)
    const stream = sse({ choices: [{ index: 0, text: 'y', finish_reason: null }] }, '[DONE]')
    expect(streamSense(completionsLane, ask, stream)).toEqual({ ...good, textHash: hashOf('y') })
  })
})

describe('responses', () => {
  const ask = { model: 'atlas', input: 'x', temperature: 0 }
  const formatted = { ...ask, text: { format: { type: 'json_schema', schema: { type: 'object', required: ['a'] } } } }
  const message = (text: string) => ({ type: 'message', content: [{ type: 'output_text', text }] })
  const response = (output: readonly object[], more: object = {}) => ({ object: 'response', status: 'completed', output, ...more })
  const cut = { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }

  it.each<[string, object, object, Partial<Sense>]>([
    ['text', ask, response([message('Hello')]), { empty: false, schema: null, textHash: hashOf('Hello') }],
    ['thoughts alone', ask, response([{ type: 'reasoning', summary: [] }]), { empty: true }],
    ['thoughts, then the limit', ask, response([{ type: 'reasoning' }], cut), { empty: false }],
    ['a call', ask, response([{ type: 'function_call', call_id: 'a', name: 'f', arguments: '{"a":1}' }]), { empty: false, schema: true }],
    ['a broken call', ask, response([{ type: 'function_call', call_id: 'a', name: 'f', arguments: '{' }]), { schema: false }],
    ['a search', ask, response([{ type: 'web_search_call' }]), { empty: false, schema: null }],
    ['the JSON that was asked for', formatted, response([message('{"a":1}')]), { schema: true }],
    ['other JSON', formatted, response([message('{"b":1}')]), { schema: false }],
    [
      'a refusal',
      formatted,
      response([{ type: 'message', content: [{ type: 'refusal', refusal: 'No.' }] }]),
      { empty: false, schema: null },
    ],
  ])('%s, whole and as the last event repeats it', (_, asked, answer, sense) => {
    expect(wholeSense(responsesLane, { ...asked }, answer)).toMatchObject(sense)
    const type = 'status' in answer && answer.status === 'incomplete' ? 'response.incomplete' : 'response.completed'
    expect(streamSense(responsesLane, { ...asked }, namedSse({ type, response: answer } as { type: string }))).toMatchObject(sense)
  })

  it('of a stream whose last event repeats nothing is known whether something came', () => {
    const end = { type: 'response.completed', response: response([]) }
    const said = { type: 'response.output_text.delta', delta: 'x' }
    const thought = { type: 'response.reasoning_text.delta', delta: 'x' }
    expect(streamSense(responsesLane, ask, namedSse(said, end))).toEqual(good)
    expect(streamSense(responsesLane, ask, namedSse(thought, end))).toEqual(nothing)
    // Names in the data alone are as good.
    expect(streamSense(responsesLane, ask, sse(said, end))).toEqual(good)
  })
})

describe('messages', () => {
  const ask = { model: 'atlas', max_tokens: 9, temperature: 0, messages: [{ role: 'user', content: 'Hi' }] }
  const formatted = { ...ask, output_config: { format: { type: 'json_schema', schema: { type: 'object', required: ['a'] } } } }
  const message = (content: readonly object[], stop_reason = 'end_turn') => ({ type: 'message', content, stop_reason })

  it.each<[string, object, object, Partial<Sense>]>([
    ['text', ask, message([{ type: 'text', text: 'Hello' }]), { empty: false, schema: null, textHash: hashOf('Hello') }],
    ['no content', ask, message([]), { empty: true }],
    ['thoughts alone', ask, message([{ type: 'thinking', thinking: 'hm' }]), { empty: true }],
    ['thoughts, then the limit', ask, message([{ type: 'thinking', thinking: 'hm' }], 'max_tokens'), { empty: false }],
    ['a call', ask, message([{ type: 'tool_use', id: 'a', name: 'f', input: {} }], 'tool_use'), { empty: false, schema: true }],
    ['the JSON that was asked for', formatted, message([{ type: 'text', text: '{"a":1}' }]), { schema: true }],
    ['prose', formatted, message([{ type: 'text', text: 'a' }]), { schema: false }],
    ['a refusal', formatted, message([{ type: 'text', text: 'No.' }], 'refusal'), { empty: false, schema: null }],
  ])('%s', (_, asked, answer, sense) => {
    expect(wholeSense(messagesLane, { ...asked }, answer)).toMatchObject(sense)
  })

  const begin = { type: 'message_start', message: message([]) }
  const block = (type: string) => ({ type: 'content_block_start', index: 0, content_block: { type } })
  const piece = (delta: object) => ({ type: 'content_block_delta', index: 0, delta })
  const end = (stop_reason = 'end_turn') => [{ type: 'message_delta', delta: { stop_reason }, usage: {} }, { type: 'message_stop' }]
  const thought = piece({ type: 'thinking_delta', thinking: 'hm' })
  const said = piece({ type: 'text_delta', text: 'x' })

  it.each<[string, readonly { readonly type: string }[], boolean]>([
    ['text', [begin, block('text'), said, ...end()], false],
    ['a text that only begins', [begin, block('text'), ...end()], true],
    ['nothing', [begin, ...end()], true],
    ['thoughts alone', [begin, block('thinking'), thought, thought, ...end()], true],
    ['thoughts, then the limit', [begin, block('thinking'), thought, ...end('max_tokens')], false],
    ['thoughts, then text', [begin, block('thinking'), thought, thought, block('text'), said, ...end()], false],
    ['a call', [begin, block('tool_use'), ...end('tool_use')], false],
  ])('in a stream, by its blocks: %s', (_, events, empty) => {
    expect(streamSense(messagesLane, ask, namedSse(...events))).toEqual({ empty, schema: null, textHash: null })
  })

  it('translated to chat are looked at as the engine gives them', () => {
    const chat = (delta: object, finish: string | null = null) => ({ choices: [{ index: 0, delta, finish_reason: finish }] })
    const stream = sse(chat({ content: '{"a"' }), chat({ content: ':1}' }, 'stop'), '[DONE]')
    const sense = { empty: false, schema: true, textHash: hashOf('{"a":1}') }
    expect(streamSense(messagesToChatLane, formatted, stream)).toEqual(sense)
    const whole = { choices: [{ index: 0, message: { role: 'assistant', content: '{"a":1}' }, finish_reason: 'stop' }] }
    expect(wholeSense(messagesToChatLane, formatted, whole)).toEqual(sense)
    expect(streamSense(messagesToChatLane, formatted, sse(chat({}, 'stop'), '[DONE]'))?.empty).toBe(true)
  })
})

describe('generate', () => {
  const ask = { text_input: 'x', parameters: { temperature: 0 } }
  it.each<[string, object, Sense]>([
    ['text', { text_output: 'Hello' }, { ...good, textHash: hashOf('Hello') }],
    ['no text', { text_output: '' }, { ...nothing, textHash: hashOf('') }],
    ['no text because of the limit', { text_output: '', finish_reason: 'length' }, { ...good, textHash: hashOf('') }],
    ['an output of another name', { model_name: 'm', answer: 1 }, { ...good, textHash: hashOf('') }],
    ['several texts', { text_output: ['a', 'b'] }, good],
  ])('%s', (_, answer, sense) => {
    expect(wholeSense(generateLane, ask, answer)).toEqual(sense)
    expect(streamSense(generateStreamLane, ask, sse(answer))).toEqual(sense)
  })
})

it('what generates nothing is worth nothing and owes nothing', () => {
  expect(wholeSense(embeddingsLane, { model: 'm', input: 'x' }, { data: [{ embedding: [1] }] })).toBeNull()
  expect(wholeSense(countTokensLane, ask, { input_tokens: 1 })).toBeNull()
  expect(wholeSense(inferLane, {}, { outputs: [] })).toBeNull()
  expect(wholeSense(metadataLane, {}, { name: 'm' })).toBeNull()
})

describe('what was asked for', () => {
  it.each<[string, unknown, unknown]>([
    ['text', { type: 'text' }, null],
    ['nothing', undefined, null],
    ['an unknown format', { type: 'grammar' }, null],
    ['no object', 'json_object', null],
    ['a schema that says little', { type: 'json_schema', json_schema: { name: 'x' } }, { type: 'any', required: [] }],
    ['a list', { type: 'json_schema', json_schema: { schema: { type: 'array' } } }, { type: 'array', required: [] }],
    [
      'keys that are none',
      { type: 'json_schema', schema: { type: 'object', required: ['a', 1, null] } },
      { type: 'object', required: ['a'] },
    ],
    ['keys that are no list', { type: 'json_schema', schema: { type: 'object', required: 'a' } }, { type: 'object', required: [] }],
  ])('%s', (_, response_format, format) => {
    expect(chatWanted({ response_format })).toEqual({ deterministic: false, format })
    expect(responsesWanted({ text: { format: response_format } })).toEqual({ deterministic: false, format })
    expect(messagesWanted({ output_format: response_format })).toEqual({ deterministic: false, format })
  })

  it('of a body that is no object is nothing', () => {
    for (const wanted of [chatWanted, responsesWanted, messagesWanted, generateWanted])
      for (const json of [null, 1, [], 'x', {}]) expect(wanted(json)).toEqual({ deterministic: false, format: null })
  })

  it('a value for any schema may be JSON’s null, and a list must be one', () => {
    const sense = (type: 'any' | 'array', text: string) => {
      const looking = look({ deterministic: false, format: { type, required: [] } })
      looking.say(text)
      return looking.sense().schema
    }
    expect([sense('any', ' null '), sense('any', '1'), sense('any', 'nul')]).toEqual([true, true, false])
    expect([sense('array', '[1]'), sense('array', '{}')]).toEqual([true, false])
  })
})

describe('digests', () => {
  it('are the same however the text is cut (property)', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' })), (pieces) => {
        const hash = textHash()
        for (const piece of pieces) hash.add(piece)
        expect(hash.digest()).toBe(hashOf(pieces.join('')))
      }),
    )
  })

  it('tell ten thousand texts apart', () => {
    expect(new Set(Array.from({ length: 10_000 }, (_, n) => hashOf(`text ${n}`))).size).toBe(10_000)
  })
})

it('calls without end are not kept without end', () => {
  const looking = look({ deterministic: false, format: null })
  for (let index = 0; index < 200_000; index++) looking.call({ index, id: null, name: 'f', arguments: '' })
  expect(looking.sense()).toEqual(good)
})
