// The public API's paths. A route only says which dialect answers it; the way of a request is infer.ts.

import { Hono, type Context } from 'hono'
import { freshId, systemClock } from '../shared/system.ts'
import type { InferenceRefusal } from '../shared/refusal.ts'
import type { RequestId } from '../shared/ids.ts'
import { mayServe } from '../shared/wire/snapshot.ts'
import { bodyFor, originFor, portsFor, type EdgeEnv } from './deps.ts'
import type { Asked, Dialect, Told, Trail, Voice, Walked } from './facts.ts'
import type { EdgePorts } from './ports.ts'
import { modelsFor } from './http/models.ts'
import { countTokens, messages } from './http/messages.ts'
import { explainLine } from './http/explain.ts'
import { chat, completions, embeddings } from './http/openai.ts'
import {
  generate,
  generateStream,
  infer as inferTensors,
  liveView,
  metadata,
  modelReadyView,
  readyView,
  serverMetadata,
} from './http/predict.ts'
import { errorHeaders, tell } from './http/refuse.ts'
import { responses } from './http/responses.ts'
import { trailHeaders } from './http/trail.ts'
import { voiceOf } from './http/voices.ts'
import { infer, versionFor, whoAsks } from './infer.ts'

type EdgeHono = { Bindings: EdgeEnv; Variables: { requestId: RequestId; receivedAtMs: number } }
type EdgeContext = Context<EdgeHono>

/** Told by `GET /v2`. */
const version = '0.1.0'

export const app = new Hono<EdgeHono>()

app.use(async (c, next) => {
  c.set('requestId', `req_${freshId()}` as RequestId)
  c.set('receivedAtMs', systemClock.nowMs())
  await next()
})

const inference = (dialect: Dialect) => async (c: EdgeContext) => {
  const asked = askedOf(c, dialect)
  const ports = portsOf(c)
  const walking = infer(asked, ports)
  // When the caller leaves, the runtime drops what nobody waits for: this has to end in its own way, or its lease would not come back.
  ports.afterResponse(walking.catch(() => undefined))
  const walked = await walking
  if (!walked.answer.ok) await asked.body.discard()
  return respond(walked, dialect.voice)
}

app.post('/v1/chat/completions', inference(chat))
app.post('/v1/completions', inference(completions))
app.post('/v1/embeddings', inference(embeddings))
app.post('/v1/responses', inference(responses))
app.post('/v1/messages', inference(messages))
app.post('/v1/messages/count_tokens', inference(countTokens))

// The Open Inference Protocol's prose makes the version optional, its description makes it mandatory: both are served.
for (const base of ['/v2/models/:model', '/v2/models/:model/versions/:version']) {
  app.post(`${base}/infer`, inference(inferTensors))
  app.post(`${base}/generate`, inference(generate))
  app.post(`${base}/generate_stream`, inference(generateStream))
  app.get(base, inference(metadata))
  app.get(`${base}/ready`, modelReady)
}
app.get('/v2', (c) => c.json(serverMetadata(version), 200, headersOf(c)))

/** Ready: some endpoint would be given a request for it. */
async function modelReady(c: EdgeContext): Promise<Response> {
  const asking = await whoAsksHere(c)
  if (!asking.ok) return refuse(c, asking.error)
  const { snapshot, caller } = asking.value
  const model = c.req.param('model') ?? ''
  const used = versionFor(snapshot, caller, { model, version: c.req.param('version') ?? null })
  if (!used.ok) return refuse(c, used.error)
  const ready = snapshot.endpoints.some((endpoint) => endpoint.version === used.value && mayServe(endpoint))
  return c.json(modelReadyView(model, ready), ready ? 200 : 503, headersOf(c))
}

const whoAsksHere = (c: EdgeContext) => whoAsks(authorizationOf(c), originFor(c.req.raw.cf, c.env), portsOf(c))

app.get('/v1/models', async (c) => {
  const asking = await whoAsksHere(c)
  if (!asking.ok) return refuse(c, asking.error)
  return c.json({ object: 'list', data: modelsFor(asking.value.snapshot, asking.value.caller) }, 200, headersOf(c))
})

// A model's name may contain slashes (`org/name`).
app.get('/v1/models/:id{.+}', async (c) => {
  const asking = await whoAsksHere(c)
  if (!asking.ok) return refuse(c, asking.error)
  const { caller, snapshot } = asking.value
  const id = c.req.param('id')
  const model = modelsFor(snapshot, caller).find((each) => each.id === id)
  return model ? c.json(model, 200, headersOf(c)) : refuse(c, { reason: 'unknown_model', model: id, environment: caller.environment })
})

// Live: this code runs. Ready: somebody could be served.
app.get('/v2/health/live', (c) => c.json(liveView(true), 200, headersOf(c)))
app.get('/v2/health/ready', async (c) => {
  const ports = portsOf(c)
  const origin = originFor(c.req.raw.cf, c.env)
  const known = await ports.snapshots.current(origin)
  const snapshot = known && ((await ports.snapshots.newerThan(known, origin)) ?? known)
  const serving = snapshot?.endpoints.some(mayServe) ?? false
  return c.json(readyView(serving), serving ? 200 : 503, headersOf(c))
})

/** Which methods a path answers; for whoever comes with another one. */
const allowed: readonly (readonly [RegExp, string])[] = [
  [/^\/v1\/(chat\/completions|completions|embeddings|responses|messages|messages\/count_tokens)$/, 'POST'],
  [/^\/v1\/models(\/.+)?$/, 'GET'],
  [/^\/v2(\/health\/(live|ready))?$/, 'GET'],
  [/^\/v2\/models\/[^/]+(\/versions\/[^/]+)?(\/ready)?$/, 'GET'],
  [/^\/v2\/models\/[^/]+(\/versions\/[^/]+)?\/(infer|generate|generate_stream)$/, 'POST'],
]

app.notFound((c) => {
  const { path, method } = c.req
  const methods = allowed.find(([shape]) => shape.test(path))?.[1]
  return methods
    ? refuse(c, { reason: 'wrong_method', method, path, allowed: methods }, { allow: methods })
    : refuse(c, { reason: 'unknown_route', method, path: path.slice(0, 200) })
})

/** A bug: the caller gets the request id, the log gets the rest. */
app.onError((cause, c) => {
  console.error(JSON.stringify({ event: 'bug', requestId: c.get('requestId'), message: cause.message, stack: cause.stack ?? null }))
  const bug: Told = {
    status: 500,
    type: 'server_error',
    code: 'internal_error',
    message: `Something went wrong here. Report it with the request id ${c.get('requestId')}.`,
    param: null,
    retryAfterMs: null,
  }
  return errorResponse(bug, trailOf(c), voiceOf(c.req.path))
})

function askedOf(c: EdgeContext, dialect: Dialect): Asked {
  return {
    requestId: c.get('requestId'),
    receivedAtMs: c.get('receivedAtMs'),
    dialect,
    origin: originFor(c.req.raw.cf, c.env),
    authorization: authorizationOf(c),
    deadline: c.req.header('isochrone-deadline') ?? null,
    timeoutMs: c.req.header('isochrone-timeout-ms') ?? null,
    session: c.req.header('isochrone-session') ?? null,
    contentType: (c.req.header('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? '',
    header: (name) => c.req.header(name) ?? null,
    path: { model: c.req.param('model') ?? null, version: c.req.param('version') ?? null },
    body: bodyFor(c.req.raw),
    gone: c.req.raw.signal,
  }
}

/** Anthropic's clients send the key in a header of their own. */
function authorizationOf(c: EdgeContext): string | null {
  const key = c.req.header('x-api-key')
  return c.req.header('authorization') ?? (key === undefined ? null : `Bearer ${key}`)
}

const portsOf = (c: EdgeContext): EdgePorts => portsFor(c.env, c.executionCtx)

function respond(walked: Walked, voice: Voice): Response {
  const explained = explainHeaders(walked)
  if (!walked.answer.ok) return errorResponse(tell(walked.answer.error), walked.trail, voice, explained)
  const { status, contentType, headers, body } = walked.answer.value
  return new Response(body, { status, headers: { ...headers, ...trailHeaders(walked.trail), ...explained, 'content-type': contentType } })
}

const explainHeaders = ({ explained }: Walked): Record<string, string> => (explained ? { 'isochrone-explain': explainLine(explained) } : {})

/** A response that went no way: no version, no endpoint. */
const trailOf = (c: EdgeContext): Trail => ({
  requestId: c.get('requestId'),
  version: null,
  region: null,
  endpoint: null,
  overheadMs: Math.max(0, systemClock.nowMs() - c.get('receivedAtMs')),
})

const headersOf = (c: EdgeContext): Record<string, string> => trailHeaders(trailOf(c))

const refuse = (c: EdgeContext, refusal: InferenceRefusal, headers: Record<string, string> = {}): Response =>
  errorResponse(tell(refusal), trailOf(c), voiceOf(c.req.path), headers)

function errorResponse(told: Told, trail: Trail, voice: Voice, headers: Record<string, string> = {}): Response {
  return new Response(voice.errorBody(told), {
    status: told.status,
    headers: { ...trailHeaders(trail), ...errorHeaders(told), ...headers },
  })
}
