// The Open Inference Protocol's dialect: what a request wishes, and how errors read.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Told } from '../../../edge/facts.ts'
import { generate, generateStream, infer, metadata, modelReadyView, oipVoice, serverMetadata } from '../../../edge/http/predict.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const bodyOf = (body: unknown, more: object = {}) => ({
  bytes: encode(typeof body === 'string' ? body : JSON.stringify(body)),
  contentType: 'application/json',
  header: (_name: string): string | null => null,
  path: { model: 'm', version: null },
  ...more,
})
const tensors = { inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: [1] }] }

describe('wishes', () => {
  it('takes model and version from the path, and streams only where the path says so', () => {
    const path = { model: 'atlas', version: 'atlas-2' }
    const wish = { model: 'atlas', version: 'atlas-2', stream: false, user: null }
    expect(infer.read(bodyOf(tensors, { path }))).toEqual({ ok: true, value: { ...wish, json: null } })
    expect(metadata.read(bodyOf('', { path }))).toEqual({ ok: true, value: { ...wish, json: null } })
    const text = { text_input: 'Hi', stream: true, parameters: { max_tokens: 3 }, image: [1] }
    expect(generate.read(bodyOf(text, { path }))).toEqual({ ok: true, value: { ...wish, json: text } })
    expect(generateStream.read(bodyOf(text, { path }))).toEqual({ ok: true, value: { ...wish, stream: true, json: text } })
  })

  it('reads the length of the JSON from its header', () => {
    const json = encode(JSON.stringify({ inputs: [{ name: 'x', datatype: 'INT8', shape: [1], parameters: { binary_data_size: 1 } }] }))
    const header = (name: string) => (name === 'inference-header-content-length' ? String(json.length) : null)
    expect(infer.read(bodyOf('', { bytes: Uint8Array.of(...json, 9), header }))).toMatchObject({ ok: true })
  })

  it.each([
    [{}, 'text_input', /missing/],
    [{ text_input: 3 }, 'text_input', /a text/],
    [{ text_input: ['a', 1] }, 'text_input', /a text/],
    [{ text_input: 'a', parameters: 'b' }, 'parameters', /an object/],
    [[], 'body', /JSON object/],
  ])('generate refuses %j', (body, param, detail) => {
    for (const dialect of [generate, generateStream]) {
      expect(dialect.read(bodyOf(body))).toMatchObject({ error: { reason: 'invalid_field', param, detail: expect.stringMatching(detail) } })
    }
  })

  it.each([
    [{ model: '', version: null }, 'model'],
    [{ model: null, version: null }, 'model'],
    [{ model: 'x'.repeat(257), version: null }, 'model'],
    [{ model: 'm', version: '' }, 'version'],
  ])('refuses the path %j', (path, param) => {
    for (const [dialect, body] of [
      [infer, tensors],
      [generate, { text_input: '' }],
      [metadata, ''],
    ] as const)
      expect(dialect.read(bodyOf(body, { path }))).toMatchObject({ error: { reason: 'invalid_field', param } })
  })

  it('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        for (const dialect of [infer, generate, generateStream]) expect(dialect.read(bodyOf('', { bytes })).ok).toBe(false)
      }),
    )
  })
})

describe('the voice', () => {
  const told: Told = {
    status: 404,
    type: 't',
    code: 'model_not_found',
    message: 'The model "é\n" does not exist.',
    param: 'model',
    retryAfterMs: null,
  }

  it('says errors as the protocol does: one text in one field', () => {
    expect(JSON.parse(oipVoice.errorBody(told))).toEqual({ error: 'model_not_found: The model "é\n" does not exist.' })
  })

  it('ends a stream with one whole event', () => {
    const frame = oipVoice.errorFrame(told)
    expect(frame).toMatch(/^data: [^\n]+\n\n$/)
    expect(JSON.parse(frame.slice('data: '.length))).toEqual({ error: expect.stringContaining('model_not_found') })
    expect(oipVoice.keepAlive).toMatch(/^:[^\n]*\n\n$/)
  })

  it('describes the server and what is ready', () => {
    expect(serverMetadata('1.2.3')).toEqual({ name: 'isochrone', version: '1.2.3', extensions: ['binary_tensor_data', 'generate'] })
    expect(modelReadyView('m', true)).toEqual({ name: 'm', ready: true })
  })
})
