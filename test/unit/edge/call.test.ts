import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { failureOf, retryAfterMs } from '../../../edge/call/classify.ts'
import { engineFault, hiddenFault } from '../../../edge/lane/engine-error.ts'
import { setTopLevel, spliceTopLevel } from '../../../edge/lane/splice.ts'
import { mayRetry } from '../../../edge/call/retry.ts'
import { limits } from '../../../shared/limits.ts'

describe('failureOf', () => {
  it.each([
    [429, null, 'soft_failure', true, 'upstream_busy'],
    [503, 2_000, 'soft_failure', true, 'upstream_busy'],
    [503, null, 'hard_failure', true, 'upstream_failed'],
    [500, null, 'hard_failure', true, 'upstream_failed'],
    [502, null, 'hard_failure', true, 'upstream_failed'],
    [504, null, 'hard_failure', true, 'upstream_failed'],
    [301, null, 'hard_failure', true, 'upstream_failed'],
    // The engine does not accept *us*: no reason to doubt the caller's key.
    [401, null, 'hard_failure', true, 'upstream_failed'],
    [403, null, 'hard_failure', true, 'upstream_failed'],
    [400, null, 'good', false, 'upstream_refused'],
    // The server does not know the model or the path that the endpoint's row names: nothing the caller can mend.
    [404, null, 'hard_failure', true, 'upstream_failed'],
    [405, null, 'hard_failure', true, 'upstream_failed'],
    [422, null, 'good', false, 'upstream_refused'],
  ])('status %i (retry-after %j): %s, retryable %j, told as %s', (status, retryAfter, outcome, retryable, reason) => {
    expect(failureOf({ status, message: 'm', code: null, param: null }, retryAfter)).toMatchObject({
      outcome,
      retryable,
      refusal: { reason, status },
    })
  })
})

describe('engineFault', () => {
  it.each([
    [
      'OpenAI',
      '{"error":{"message":"bad","type":"invalid_request_error","param":"n","code":"x"}}',
      { message: 'bad', code: 'x', param: 'n' },
    ],
    [
      'vLLM',
      '{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}',
      { message: 'too long', code: null, param: null },
    ],
    [
      'FastAPI list',
      '{"detail":[{"loc":["body","n"],"msg":"must be int","type":"t"}]}',
      { message: 'body.n: must be int', code: null, param: null },
    ],
    ['FastAPI text', '{"detail":"Not Found"}', { message: 'Not Found', code: null, param: null }],
    ['Triton', '{"error":"unknown model"}', { message: 'unknown model', code: null, param: null }],
    [
      'llama.cpp, context',
      '{"error":{"code":400,"message":"exceeds","type":"exceed_context_size_error","n_prompt_tokens":900,"n_ctx":512}}',
      { message: 'exceeds', code: 'context_length_exceeded', param: null },
    ],
    ['plain text', 'Internal Server Error', { message: 'Internal Server Error', code: null, param: null }],
    ['nothing', '', { message: 'The engine gave no reason.', code: null, param: null }],
    ['null', 'null', { message: 'null', code: null, param: null }],
  ])('%s', (_, body, expected) => {
    expect(engineFault(418, body)).toEqual({ ...expected, status: 418 })
  })

  it('never throws and never grows without bound (property)', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.string({ minLength: 3_000 })), (body) => {
        expect(engineFault(500, body).message.length).toBeLessThanOrEqual(2_001)
      }),
    )
  })
})

describe('hiddenFault', () => {
  it.each([
    ['{"error":{"message":"m","code":400}}', 400],
    ['{"error":{"message":"m","type":"server_error"}}', 502],
    ['{"object":"error","message":"m","code":503}', 503],
    ['{"type":"error","error":{"type":"overloaded_error","message":"m"}}', 502],
    ['{"error":"m"}', 502],
  ])('%s is an error of status %i, whatever the response said', (body, status) => {
    expect(hiddenFault(JSON.parse(body))).toMatchObject({ message: 'm', status })
  })

  it.each(['{"choices":[],"error":null}', '{"choices":[{"message":{"content":"error"}}]}', '[]', 'null', '7'])('%s is none', (body) => {
    expect(hiddenFault(JSON.parse(body))).toBeNull()
  })
})

describe('retryAfterMs', () => {
  const nowMs = Date.parse('2026-01-01T00:00:00Z')
  it.each([
    [null, null],
    ['3', 3_000],
    ['0.5', 500],
    ['Thu, 01 Jan 2026 00:00:07 GMT', 7_000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
    ['99999', limits.retryAfterMsMax],
    ['soon', null],
  ])('%j -> %j', (header, expected) => {
    expect(retryAfterMs(header, nowMs)).toBe(expected)
  })
})

describe('spliceTopLevel', () => {
  it.each([
    ['{"model":"a"}', '{"model":"b"}'],
    ['{ "x" : [ {"model":"no"} ] ,\n "model" :  "a" , "y":1.0}', '{ "x" : [ {"model":"no"} ] ,\n "model" :  "b" , "y":1.0}'],
    ['{"n":12345678901234567890,"model":"a"}', '{"n":12345678901234567890,"model":"b"}'],
    ['{"a":"\\"model\\":\\"x\\"","model":"a"}', '{"a":"\\"model\\":\\"x\\"","model":"b"}'],
    ['{"m\\u006fdel":"a"}', '{"m\\u006fdel":"b"}'],
    // The last one wins, as in JSON.parse.
    ['{"model":"first","model":"a"}', '{"model":"first","model":"b"}'],
    ['{"x":"\\\\","model":"a"}', '{"x":"\\\\","model":"b"}'],
    ['{"other":1}', '{"other":1}'],
    ['{}', '{}'],
  ])('%s', (json, expected) => {
    expect(spliceTopLevel(json, 'model', 'b')).toBe(expected)
  })

  it.each([
    ['{}', '{"k":1}'],
    ['{ }', '{ "k":1}'],
    ['{"a":{"k":2}}', '{"a":{"k":2},"k":1}'],
    ['{"k":[0],"a":3}\n', '{"k":1,"a":3}\n'],
  ])('sets a field that may be missing: %s', (json, expected) => {
    expect(setTopLevel(json, 'k', 1)).toBe(expected)
  })

  it('changes the model and nothing else, for any JSON object and any white space (property)', () => {
    const key = fc.string().filter((name) => name !== 'model' && name !== '__proto__')
    fc.assert(
      fc.property(fc.dictionary(key, fc.jsonValue()), fc.string(), fc.string(), fc.constantFrom(0, 1, 2, '\t'), (rest, from, to, space) => {
        const json = JSON.stringify({ ...rest, model: from, tail: [rest] }, null, space)
        const spliced = spliceTopLevel(json, 'model', to)
        expect(JSON.parse(spliced)).toEqual({ ...JSON.parse(json), model: to })
        expect(spliceTopLevel(spliced, 'model', from)).toBe(json)
      }),
    )
  })
})

describe('mayRetry', () => {
  const failure = { refusal: { reason: 'upstream_unreachable', detail: '' }, outcome: 'hard_failure', retryable: true } as const
  it('once, while there is time, and only what is worth it', () => {
    expect(mayRetry(failure, 1, 100, 50)).toBe(true)
    expect(mayRetry(failure, 2, 100, 50)).toBe(false)
    expect(mayRetry(failure, 1, 100, 100)).toBe(false)
    expect(mayRetry({ ...failure, retryable: false }, 1, 100, 50)).toBe(false)
  })
})
