// The lane to servers of the Open Inference Protocol: what goes to them and what their answers mean.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { oipFault } from '../../../edge/lane/open-inference-fault.ts'
import { generateLane, generateStreamLane, inferLane, metadataLane } from '../../../edge/lane/open-inference.ts'
import type { Asking, Lane } from '../../../edge/lane/lane.ts'
import { eventReader } from '../../../edge/lane/sse.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const decode = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes ?? new Uint8Array())
const joined = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]))
const lengthHeader = 'inference-header-content-length'

function asking(more: Partial<Omit<Asking, 'header'>> & { readonly headers?: Readonly<Record<string, string>> } = {}): Asking {
  const { headers = {}, ...rest } = more
  return {
    body: encode('{ "inputs": [] }'),
    json: null,
    contentType: 'application/json',
    header: (name) => headers[name] ?? null,
    model: 'public',
    servedName: 'org/served v1',
    stream: false,
    ...rest,
  }
}

describe('outgoing', () => {
  it.each([
    ['infer', inferLane, 'POST', '/infer', '*/*'],
    ['generate', generateLane, 'POST', '/generate', 'application/json'],
    ['generate_stream', generateStreamLane, 'POST', '/generate_stream', 'text/event-stream'],
    ['metadata', metadataLane, 'GET', '', 'application/json'],
  ])('%s', (_, lane, method, end, accept) => {
    const asked = asking()
    const outgoing = lane.outgoing(asked)
    expect(outgoing).toMatchObject({ method, path: `/v2/models/org%2Fserved%20v1${end}`, dropped: [] })
    expect(outgoing.headers['accept']).toBe(accept)
    // The very bytes, not a copy that may differ.
    if (method === 'POST') expect(outgoing.body).toBe(asked.body)
    else expect(outgoing.body.length).toBe(0)
  })

  it('hands on what describes the body, and nothing else', () => {
    const headers = { [lengthHeader]: '12', accept: 'application/octet-stream', authorization: 'Bearer secret', cookie: 'a=b' }
    expect(inferLane.outgoing(asking({ contentType: 'application/octet-stream', headers })).headers).toEqual({
      'content-type': 'application/octet-stream',
      accept: 'application/octet-stream',
      [lengthHeader]: '12',
    })
  })

  it.each([
    ['', null, 'application/json'],
    ['application/x-www-form-urlencoded', null, 'application/json'],
    ['application/vnd.x+json', null, 'application/vnd.x+json'],
    ['', '12', 'application/octet-stream'],
  ])('calls a body of type %j with length %j %s', (contentType, length, expected) => {
    const headers = length === null ? {} : { [lengthHeader]: length }
    expect(inferLane.outgoing(asking({ contentType, headers })).headers['content-type']).toBe(expected)
  })
})

const output = { name: 'y', datatype: 'FP32', shape: [1], data: [0.5] }
const whole = (lane: Lane, body: unknown, contentType = 'application/json') =>
  lane.whole(
    typeof body === 'string' ? encode(body) : body instanceof Uint8Array ? body : encode(JSON.stringify(body)),
    contentType,
    asking(),
  )

describe('an infer answer', () => {
  it('carries the public name, and every other character as it came', () => {
    const text =
      '{"model_name" : "org/served v1", "id":"é", "outputs":[{"name":"y","datatype":"INT64","shape":[1],"data":[9007199254740993]}]}'
    const read = whole(inferLane, text)
    expect(read.ok && decode(read.value.body)).toBe(text.replace('org/served v1', 'public'))
    expect(read.ok && read.value).toMatchObject({ contentType: 'application/json', headers: {}, usage: null })
  })

  it('in binary has the length of its JSON', () => {
    const json = { model_name: 'org/served v1', outputs: [{ ...output, data: undefined, parameters: { binary_data_size: 4 } }] }
    const tail = Uint8Array.of(0x7b, 0x22, 0xff, 0x00)
    const read = whole(inferLane, joined(encode(`${JSON.stringify(json)} `), tail), 'application/octet-stream')
    const expected = encode(`${JSON.stringify({ ...json, model_name: 'public' })} `)
    expect(read).toMatchObject({
      ok: true,
      value: { contentType: 'application/octet-stream', headers: { [lengthHeader]: String(expected.length) } },
    })
    expect(read.ok && [...read.value.body]).toEqual([...expected, ...tail])
  })

  it('keeps bytes that are not UTF-8', () => {
    const bytes = joined(
      encode('{"model_name":"s","outputs":[{"name":"y","datatype":"BYTES","shape":[1],"data":["'),
      Uint8Array.of(0xff),
      encode('"]}]}'),
    )
    const read = whole(inferLane, bytes)
    expect(read.ok && [...read.value.body]).toEqual([...bytes])
  })

  it('counts tokens where the engine does', () => {
    expect(whole(inferLane, { parameters: { num_input_tokens: 7 }, outputs: [output] })).toMatchObject({
      value: { usage: { inputTokens: 7, outputTokens: null, cachedTokens: null } },
    })
  })

  const binaryOutput = { ...output, data: undefined, parameters: { binary_data_size: 4 } }
  it.each([
    ['nothing', ''],
    ['text', 'upstream connect error'],
    ['a list', []],
    ['no outputs', { model_name: 'm' }],
    ['an output without data', { outputs: [{ name: 'y', datatype: 'FP32', shape: [1] }] }],
    ['an output without a shape', { outputs: [{ ...output, shape: undefined }] }],
    ['cut JSON', JSON.stringify({ outputs: [output] }).slice(0, -1)],
    ['cut binary', joined(encode(JSON.stringify({ outputs: [binaryOutput] })), Uint8Array.of(1, 2, 3))],
    ['more binary than announced', joined(encode(JSON.stringify({ outputs: [binaryOutput] })), Uint8Array.of(1, 2, 3, 4, 5))],
    ['a second object', `${JSON.stringify({ outputs: [output] })}{}`],
  ])('that is %s is the engine’s fault', (_, body) => {
    expect(whole(inferLane, body)).toMatchObject({ ok: false, error: { status: 502 } })
  })

  it('never throws, and is whole only as a whole', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => !whole(inferLane, bytes).ok))
    const bytes = joined(encode(JSON.stringify({ outputs: [binaryOutput] })), Uint8Array.of(1, 2, 3, 4))
    for (let end = 0; end < bytes.length; end++) expect(whole(inferLane, bytes.subarray(0, end)).ok).toBe(false)
  })
})

describe('other answers in one piece', () => {
  it('carry the public name', () => {
    const generated = whole(generateLane, {
      model_name: 'org/served v1',
      model_version: '1',
      text_output: 'Hi',
      num_input_tokens: 3,
      num_output_tokens: 2,
    })
    expect(generated.ok && JSON.parse(decode(generated.value.body))).toMatchObject({ model_name: 'public', text_output: 'Hi' })
    expect(generated).toMatchObject({ value: { usage: { inputTokens: 3, outputTokens: 2 } } })
    const described = whole(metadataLane, { name: 'org/served v1', platform: 'x', inputs: [], outputs: [] })
    expect(described.ok && JSON.parse(decode(described.value.body))).toEqual({ name: 'public', platform: 'x', inputs: [], outputs: [] })
  })

  it.each([
    [generateLane, {}],
    [generateLane, 'Hi'],
    [metadataLane, {}],
    [metadataLane, '<html>'],
  ])('are the protocol’s or a fault', (lane, body) => {
    expect(whole(lane, body)).toMatchObject({ ok: false, error: { status: 502 } })
  })

  it.each([
    [{ error: 'CUDA out of memory' }, 502, null],
    [{ error: { message: 'busy', code: 503 } }, 503, null],
    [{ error: 'Input exceeds maximum context length of 4096' }, 400, 'context_length_exceeded'],
  ])('hide no error: %j', (body, status, code) => {
    for (const lane of [inferLane, generateLane, generateStreamLane, metadataLane])
      expect(whole(lane, body)).toMatchObject({ ok: false, error: { status, code } })
  })
})

describe('events', () => {
  const run = (text: string) => {
    const lane = generateStreamLane.events!(asking({ stream: true }))
    const events = eventReader(10_000).feed(encode(text)) ?? []
    const taken = events.map(lane.take)
    return {
      taken,
      out: taken.map((one) => decode(one.out)).join(''),
      means: taken.map((one) => one.means),
      end: lane.end(),
      usage: lane.usage(),
    }
  }
  const event = (data: object): string => `data: ${JSON.stringify(data)}\n\n`

  it('pass as they came, with their first text as the first token', () => {
    const text = `: hello\n\n${event({ text_output: '' })}${event({ text_output: 'A' })}data:{"text_output":"B"}\r\n\r\n`
    const { out, means, end } = run(text)
    expect(out).toBe(text)
    expect(means).toEqual(['nothing', 'nothing', 'token', 'token'])
    expect(end).toEqual({ out: null, whole: true })
  })

  it('carry the public name', () => {
    const { out } = run(`event: m\ndata: {"model_name":"org/served v1",\ndata: "text_output":"\u2028A"}\n\n`)
    expect(out).toBe(`event: m\ndata: {"model_name":"public",\ndata: "text_output":"\u2028A"}\n\n`)
    const same = 'data:  {"model_name":"public","text_output":"A"}\n\n'
    expect(run(same).out).toBe(same)
  })

  it.each([
    ['nothing', '', false],
    ['a comment', ': x\n\n', false],
    ['text of a server that marks no end', event({ text_output: 'A' }), true],
    ['text of one that does', event({ text_output: 'A', finish_reason: null }), false],
    ['text of one that writes None', event({ text_output: 'A', finish_reason: 'None' }), false],
    ['its end', event({ text_output: 'A', finish_reason: null }) + event({ text_output: '', finish_reason: 'stop' }), true],
    ['half an event behind it', `${event({ text_output: 'A', finish_reason: null })}data: {"text`, false],
    ['an error', event({ text_output: 'A' }) + event({ error: 'x' }), false],
  ])('are whole after %s: %s', (_, text, isWhole) => {
    expect(run(text).end.whole).toBe(isWhole)
  })

  it.each([
    ['{"text_output":"","finish_reason":"stop"}', 'token'],
    ['{"text_output":["","a"]}', 'token'],
    ['{"model_name":"public","audio":[1]}', 'token'],
    ['{"model_name":"public","model_version":"1","num_input_tokens":2}', 'nothing'],
    ['[DONE]', 'nothing'],
  ])('%s means %s', (data, means) => {
    expect(run(`data: ${data}\n\n`)).toMatchObject({ means: [means], taken: [{ fault: null }] })
  })

  it.each([
    ['{"error":"no memory"}', 502, null],
    ['{"error":"prompt is longer than the maximum model length"}', 400, 'context_length_exceeded'],
    ['not JSON', 502, null],
    ['3', 502, null],
  ])('%s is a fault and does not go out', (data, status, code) => {
    expect(run(`data: ${data}\n\n`).taken).toMatchObject([{ out: null, means: 'nothing', fault: { status, code } }])
  })

  it('add up what they count, each its own output', () => {
    const counted = (text: string, tokens: number) => event({ text_output: text, num_input_tokens: 5, num_output_tokens: tokens })
    expect(run(counted('A', 1) + counted('BC', 2)).usage).toEqual({ inputTokens: 5, outputTokens: 3, cachedTokens: null })
    expect(run(event({ text_output: 'A' })).usage).toBeNull()
  })
})

describe('faults', () => {
  it.each([
    [400, '{"error":"unexpected shape for input \'x\'"}', 400, null, "unexpected shape for input 'x'"],
    [400, '{"error":"Request for unknown model: \'m\' is not found"}', 502, null, "Request for unknown model: 'm' is not found"],
    [400, '{"error":"model m with version 3 is not ready yet"}', 502, null, 'model m with version 3 is not ready yet'],
    [400, '{"error":"model m: input x not found"}', 400, null, 'model m: input x not found'],
    [404, '{"error":"Model m not found"}', 502, null, 'Model m not found'],
    [405, '', 502, null, 'The engine gave no reason.'],
    [503, '{"error":"Model m is not ready"}', 503, null, 'Model m is not ready'],
    [422, '{"detail":[{"loc":["body","inputs"],"msg":"field required"}]}', 422, null, 'body.inputs: field required'],
    [400, '{"detail":"bad"}', 400, null, 'bad'],
    [500, 'plain', 500, null, 'plain'],
    [
      500,
      '{"error":"in ensemble: Prompt length (9000) exceeds maximum input length (8192)"}',
      400,
      'context_length_exceeded',
      'in ensemble: Prompt length (9000) exceeds maximum input length (8192)',
    ],
    [
      400,
      '{"error":"This model\'s maximum context length is 10 tokens"}',
      400,
      'context_length_exceeded',
      "This model's maximum context length is 10 tokens",
    ],
  ])('%d %s', (status, body, told, code, message) => {
    expect(oipFault(status, body)).toEqual({ status: told, code, message, param: null })
  })

  it('never throws', () => {
    fc.assert(
      fc.property(fc.integer({ min: 300, max: 599 }), fc.oneof(fc.string(), fc.json()), (status, body) => {
        expect(oipFault(status, body).message).not.toBe('')
      }),
    )
  })
})
