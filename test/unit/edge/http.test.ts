import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseJson } from '../../../edge/http/body.ts'
import { countTokens, messages } from '../../../edge/http/messages.ts'
import { modelsFor } from '../../../edge/http/models.ts'
import { chat, completions, embeddings } from '../../../edge/http/openai.ts'
import { errorHeaders, openAiVoice, tell } from '../../../edge/http/refuse.ts'
import { generate, generateStream, infer, metadata } from '../../../edge/http/predict.ts'
import { responses } from '../../../edge/http/responses.ts'
import { trailHeaders } from '../../../edge/http/trail.ts'
import type { ReadBody } from '../../../edge/facts.ts'
import { limits } from '../../../shared/limits.ts'
import type { InferenceRefusal } from '../../../shared/refusal.ts'
import type { EndpointId, ModelName, RegionName, RequestId, VersionId } from '../../../shared/ids.ts'
import { alias, snapshotOf } from '../../support/snapshot.ts'
import { credential } from '../../support/credential.ts'
import { bytes } from '../../support/stream.ts'

describe('JSON bodies', () => {
  it.each(['', '{', '{"a":}', 'nonsense', '{"a":1}}'])('%j is refused as invalid JSON', (body) => {
    expect(parseJson(bytes(body))).toMatchObject({ ok: false, error: { reason: 'invalid_json' } })
  })

  it('more objects and lists than an isolate could hold are refused before they are parsed', () => {
    const nested = (count: number) => bytes(`{"input":[${'[1],'.repeat(count - 3)}[1]]}`)
    expect(parseJson(nested(limits.jsonNestedMax)).ok).toBe(true)
    expect(parseJson(nested(limits.jsonNestedMax + 1))).toEqual({
      ok: false,
      error: { reason: 'body_too_complex', nestedMax: limits.jsonNestedMax },
    })
  })

  it('bytes that are not UTF-8 are refused, not replaced', () => {
    expect(parseJson(Uint8Array.from([0x22, 0xff, 0x22]))).toMatchObject({ ok: false, error: { reason: 'invalid_json' } })
  })
})

const bodyOf = (body: unknown, headers: Record<string, string> = {}, contentType = 'application/json'): ReadBody => ({
  bytes: bytes(JSON.stringify(body)),
  contentType,
  header: (name) => headers[name] ?? null,
  path: { model: null, version: null },
})

describe('dialect', () => {
  const message = { role: 'user', content: 'hi' }

  it.each([
    [chat, { model: 'm', messages: [message] }, { model: 'm', stream: false, user: null }],
    [chat, { model: 'm', messages: [message], stream: true, user: 'u' }, { model: 'm', stream: true, user: 'u' }],
    [chat, { model: 'm', messages: [message], stream: null, user: null }, { model: 'm', stream: false, user: null }],
    // Unknown fields and parts that only the engine understands are none of our business.
    [
      chat,
      { model: 'm', messages: [{ role: 'tool', content: [{ type: 'image_url' }], x: 1 }], tools: 'whatever', new_field: {} },
      { model: 'm', stream: false, user: null },
    ],
    [completions, { model: 'm', prompt: 'p' }, { model: 'm', stream: false, user: null }],
    [completions, { model: 'm', prompt: [[1, 2], [3]] }, { model: 'm', stream: false, user: null }],
    [embeddings, { model: 'm', input: ['a', 'b'], encoding_format: 'base64' }, { model: 'm', stream: false, user: null }],
  ])('reads %#', (dialect, body, wish) => {
    expect(dialect.read(bodyOf(body))).toEqual({ ok: true, value: { ...wish, version: null, json: body } })
  })

  it.each([
    [chat, null, 'body'],
    [chat, [], 'body'],
    [chat, 'text', 'body'],
    [chat, { messages: [message] }, 'model'],
    [chat, { model: '', messages: [message] }, 'model'],
    [chat, { model: 7, messages: [message] }, 'model'],
    [chat, { model: 'm' }, 'messages'],
    [chat, { model: 'm', messages: [] }, 'messages'],
    [chat, { model: 'm', messages: 'hi' }, 'messages'],
    [chat, { model: 'm', messages: [message, { content: 'x' }] }, 'messages[1].role'],
    [chat, { model: 'm', messages: ['hi'] }, 'messages[0]'],
    [chat, { model: 'm', messages: [message], stream: 'yes' }, 'stream'],
    [chat, { model: 'm', messages: [message], user: 7 }, 'user'],
    [completions, { model: 'm', prompt: 7 }, 'prompt'],
    [completions, { model: 'm' }, 'prompt'],
    [embeddings, { model: 'm', input: {} }, 'input'],
    [embeddings, { model: 'm', input: 'x', encoding_format: 'hex' }, 'encoding_format'],
  ])('refuses %# and names the field', (dialect, body, param) => {
    expect(dialect.read(bodyOf(body))).toMatchObject({ ok: false, error: { reason: 'invalid_field', param } })
  })
})

describe('every dialect', () => {
  const all = { chat, completions, embeddings, responses, messages, countTokens, infer, generate, generateStream, metadata }
  const json = fc.oneof(
    fc.json().map((each) => bytes(each)),
    fc.uint8Array({ maxLength: 200 }),
  )
  /** Field names that decide something, with values of every kind. */
  const field = fc.constantFrom(
    'model',
    'messages',
    'prompt',
    'input',
    'inputs',
    'stream',
    'user',
    'max_tokens',
    'text_input',
    'parameters',
    'metadata',
    'encoding_format',
  )
  const near = fc.dictionary(field, fc.jsonValue()).map((each) => bytes(JSON.stringify(each)))
  const anything = fc.constantFrom('', 'application/json', 'application/octet-stream', 'text/html')

  it.each(Object.entries(all))('%s reads any bytes without throwing, and says what is wrong (property)', (_, dialect) => {
    fc.assert(
      fc.property(fc.oneof(json, near), anything, fc.option(fc.string()), fc.option(fc.string()), (given, contentType, header, model) => {
        const read = dialect.read({ bytes: given, contentType, header: () => header, path: { model, version: header } })
        expect(read.ok || tell(read.error).message.length > 7).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})

describe('bodies that are no JSON', () => {
  const asked = { model: 'm', input: 'x' }
  it.each(['multipart/form-data', 'text/html', 'audio/wav'])('of type %s are refused by their type', (contentType) => {
    expect(embeddings.read(bodyOf(asked, {}, contentType))).toEqual({
      ok: false,
      error: { reason: 'unsupported_content_type', contentType },
    })
  })

  it.each(['', 'application/json', 'application/x-www-form-urlencoded', 'application/vnd.api+json'])(
    'of type "%s" are read',
    (contentType) => {
      expect(embeddings.read(bodyOf(asked, {}, contentType)).ok).toBe(true)
    },
  )

  it('compressed bodies are refused, "identity" is none', () => {
    expect(embeddings.read(bodyOf(asked, { 'content-encoding': 'gzip' }))).toEqual({
      ok: false,
      error: { reason: 'unsupported_encoding', encoding: 'gzip' },
    })
    expect(embeddings.read(bodyOf(asked, { 'content-encoding': 'identity' })).ok).toBe(true)
  })
})

const every: { readonly [Reason in InferenceRefusal['reason']]: Extract<InferenceRefusal, { reason: Reason }> } = {
  missing_key: { reason: 'missing_key' },
  malformed_key: { reason: 'malformed_key' },
  unknown_key: { reason: 'unknown_key' },
  expired_key: { reason: 'expired_key', expiredAtMs: 0 },
  disabled_key: { reason: 'disabled_key' },
  scope_missing: { reason: 'scope_missing', scope: 'critical' },
  unknown_route: { reason: 'unknown_route', method: 'GET', path: '/x' },
  wrong_method: { reason: 'wrong_method', method: 'GET', path: '/v1/embeddings', allowed: 'POST' },
  unknown_model: { reason: 'unknown_model', model: 'm', environment: 'development' },
  model_not_allowed: { reason: 'model_not_allowed', model: 'm' },
  body_too_large: { reason: 'body_too_large', bytesMax: 10 },
  body_incomplete: { reason: 'body_incomplete' },
  invalid_json: { reason: 'invalid_json', detail: 'd' },
  invalid_field: { reason: 'invalid_field', param: 'p', detail: 'd' },
  invalid_header: { reason: 'invalid_header', header: 'h', detail: 'd' },
  deadline_passed: { reason: 'deadline_passed', lateByMs: 1 },
  no_snapshot: { reason: 'no_snapshot' },
  credentials_unreachable: { reason: 'credentials_unreachable' },
  no_endpoint: { reason: 'no_endpoint', model: 'm', version: 'v' },
  no_healthy_endpoint: { reason: 'no_healthy_endpoint', model: 'm', version: 'v' },
  residency_unmet: { reason: 'residency_unmet', model: 'm', residency: 'eu' },
  no_capacity: { reason: 'no_capacity', model: 'm', retryAfterMs: 1_500 },
  deadline_exceeded: { reason: 'deadline_exceeded', afterMs: 1 },
  upstream_unreachable: { reason: 'upstream_unreachable', detail: 'secret host' },
  upstream_timeout: { reason: 'upstream_timeout', afterMs: 1 },
  upstream_failed: { reason: 'upstream_failed', status: 500, detail: 'secret trace' },
  upstream_busy: { reason: 'upstream_busy', status: 429, retryAfterMs: 2_000 },
  upstream_refused: { reason: 'upstream_refused', status: 400, message: 'too long', code: 'context_length_exceeded', param: 'messages' },
  body_too_complex: { reason: 'body_too_complex', nestedMax: 1 },
  body_too_slow: { reason: 'body_too_slow', afterMs: 1 },
  uploads_full: { reason: 'uploads_full' },
  unsupported_content_type: { reason: 'unsupported_content_type', contentType: 'text/html' },
  unsupported_encoding: { reason: 'unsupported_encoding', encoding: 'gzip' },
  unsupported_operation: { reason: 'unsupported_operation', model: 'm', operation: 'infer' },
  unknown_version: { reason: 'unknown_version', model: 'm', version: 'v', environment: 'development' },
  override_refused: { reason: 'override_refused', detail: 'it has expired.' },
  upstream_stalled: { reason: 'upstream_stalled', afterMs: 1 },
  client_gone: { reason: 'client_gone' },
}

describe('refusals', () => {
  const all = Object.values(every).map((refusal) => [refusal.reason, tell(refusal)] as const)

  it.each([
    ['missing_key', 401],
    ['unknown_key', 401],
    ['expired_key', 401],
    ['disabled_key', 401],
    ['model_not_allowed', 403],
    ['scope_missing', 403],
    ['residency_unmet', 403],
    ['override_refused', 403],
    ['unknown_model', 404],
    ['unknown_route', 404],
    ['wrong_method', 405],
    ['body_too_large', 413],
    ['invalid_json', 400],
    ['invalid_field', 400],
    ['deadline_passed', 400],
    ['no_endpoint', 503],
    ['no_healthy_endpoint', 503],
    ['no_capacity', 503],
    ['deadline_exceeded', 504],
    ['upstream_unreachable', 502],
  ] as const)('%s has status %i', (reason, status) => {
    expect(tell(every[reason]).status).toBe(status)
  })

  it('each has a code of its own, and a sentence', () => {
    expect(new Set(all.map(([, error]) => error.code)).size).toBe(all.length)
    for (const [, error] of all) expect(error.message.length).toBeGreaterThan(7)
  })

  it('have exactly the shape of OpenAI errors', () => {
    for (const [, error] of all) {
      const body: unknown = JSON.parse(openAiVoice.errorBody(error))
      expect(body).toEqual({ error: { message: expect.any(String), type: expect.any(String), param: error.param, code: error.code } })
    }
  })

  it('do not tell callers what happened inside', () => {
    expect(openAiVoice.errorBody(tell(every.upstream_unreachable))).not.toContain('secret')
    expect(openAiVoice.errorBody(tell(every.upstream_failed))).not.toContain('secret')
  })

  it('say when to come back, at most a minute away, or that it is no use', () => {
    expect(errorHeaders(tell(every.no_capacity))).toMatchObject({ 'retry-after': '2', 'retry-after-ms': '1500' })
    expect(errorHeaders(tell(every.deadline_exceeded))).toMatchObject({ 'x-should-retry': 'false' })
    for (const [, error] of all) expect(error.retryAfterMs ?? 0).toBeLessThanOrEqual(60_000)
  })
})

it('every response carries the trail, also when nothing was decided', () => {
  const requestId = 'req_1' as RequestId
  expect(trailHeaders({ requestId, version: null, region: null, endpoint: null, overheadMs: 0 })).toEqual({
    'x-request-id': 'req_1',
    'request-id': 'req_1',
    'isochrone-model-version': 'none',
    'isochrone-region': 'none',
    'isochrone-endpoint': 'none',
    'isochrone-overhead-ms': '0',
    'cache-control': 'no-store',
  })
  const trail = { requestId, version: 'v' as VersionId, region: 'r' as RegionName, endpoint: 'e' as EndpointId, overheadMs: 3 }
  expect(trailHeaders(trail)).toMatchObject({ 'isochrone-model-version': 'v', 'isochrone-region': 'r', 'isochrone-endpoint': 'e' })
})

it('a key sees the models of its environment that it may use, by name', async () => {
  const named = (name: string) => alias({ model: name as ModelName })
  const snapshot = snapshotOf([], { aliases: [named('b'), named('a'), alias({ model: 'c' as ModelName, environment: 'production' })] })
  expect(modelsFor(snapshot, await credential()).map(({ id }) => id)).toEqual(['a', 'b'])
  expect(modelsFor(snapshot, await credential({ models: ['b', 'c'] })).map(({ id }) => id)).toEqual(['b'])
})
