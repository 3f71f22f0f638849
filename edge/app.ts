// The public API's paths. A route only says which dialect answers it; the way of a request is infer.ts.

import { Hono, type Context } from 'hono'
import { freshId, systemClock } from '../shared/system.ts'
import type { InferenceRefusal } from '../shared/refusal.ts'
import type { RequestId } from '../shared/ids.ts'
import { mayServe } from '../shared/wire/snapshot.ts'
import { bodyFor, originFor, portsFor, type EdgeEnv } from './deps.ts'
import type { Asked, Dialect, Told, Trail, Voice, Walked } from './facts.ts'
import type { EdgePorts } from './ports.ts'
import { identify } from './admit/admit.ts'
import { modelsFor } from './http/models.ts'
import { chat, completions, embeddings } from './http/openai.ts'
import { errorHeaders, openAiVoice, tell } from './http/refuse.ts'
import { trailHeaders } from './http/trail.ts'
import { infer } from './infer.ts'

type EdgeHono = { Bindings: EdgeEnv; Variables: { requestId: RequestId; receivedAtMs: number } }
type EdgeContext = Context<EdgeHono>

export const app = new Hono<EdgeHono>()

app.use(async (c, next) => {
  c.set('requestId', `req_${freshId()}` as RequestId)
  c.set('receivedAtMs', systemClock.nowMs())
  await next()
})

const inference = (dialect: Dialect) => async (c: EdgeContext) => {
  const asked = askedOf(c, dialect)
  const walked = await infer(asked, portsOf(c))
  if (!walked.answer.ok) await asked.body.discard()
  return respond(walked, dialect.voice)
}

app.post('/v1/chat/completions', inference(chat))
app.post('/v1/completions', inference(completions))
app.post('/v1/embeddings', inference(embeddings))

app.get('/v1/models', async (c) => {
  const listed = await listModels(c)
  return 'refusal' in listed ? refuse(c, listed.refusal) : c.json({ object: 'list', data: listed.models }, 200, headersOf(c))
})

// A model's name may contain slashes (`org/name`).
app.get('/v1/models/:id{.+}', async (c) => {
  const listed = await listModels(c)
  if ('refusal' in listed) return refuse(c, listed.refusal)
  const id = c.req.param('id')
  const model = listed.models.find((each) => each.id === id)
  return model ? c.json(model, 200, headersOf(c)) : refuse(c, { reason: 'unknown_model', model: id, environment: listed.environment })
})

// Live: this code runs. Ready: somebody could be served.
app.get('/v2/health/live', (c) => c.json({ live: true }, 200, headersOf(c)))
app.get('/v2/health/ready', async (c) => {
  const ports = portsOf(c)
  const origin = originFor(c.req.raw.cf, c.env)
  const serving = (await ports.snapshots.current(origin))?.endpoints.some(mayServe) ?? false
  return c.json({ ready: serving }, serving ? 200 : 503, headersOf(c))
})

const allowed: Readonly<Record<string, string>> = {
  '/v1/chat/completions': 'POST',
  '/v1/completions': 'POST',
  '/v1/embeddings': 'POST',
  '/v1/models': 'GET',
  '/v2/health/live': 'GET',
  '/v2/health/ready': 'GET',
}

app.notFound((c) => {
  const { path, method } = c.req
  const methods = allowed[path]
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
  return errorResponse(bug, trailOf(c), openAiVoice)
})

async function listModels(c: EdgeContext) {
  const ports = portsOf(c)
  const origin = originFor(c.req.raw.cf, c.env)
  const known = await ports.snapshots.current(origin)
  if (!known) return { refusal: { reason: 'no_snapshot' } as const }
  const snapshot = (await ports.snapshots.newerThan(known, origin)) ?? known
  const caller = await identify(c.req.header('authorization') ?? null, snapshot, ports)
  return caller.ok ? { models: modelsFor(snapshot, caller.value), environment: caller.value.environment } : { refusal: caller.error }
}

function askedOf(c: EdgeContext, dialect: Dialect): Asked {
  return {
    requestId: c.get('requestId'),
    receivedAtMs: c.get('receivedAtMs'),
    dialect,
    origin: originFor(c.req.raw.cf, c.env),
    authorization: c.req.header('authorization') ?? null,
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

const portsOf = (c: EdgeContext): EdgePorts => portsFor(c.env, c.executionCtx)

function respond(walked: Walked, voice: Voice): Response {
  if (!walked.answer.ok) return errorResponse(tell(walked.answer.error), walked.trail, voice)
  const { status, contentType, headers, body } = walked.answer.value
  return new Response(body, { status, headers: { ...headers, ...trailHeaders(walked.trail), 'content-type': contentType } })
}

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
  errorResponse(tell(refusal), trailOf(c), openAiVoice, headers)

function errorResponse(told: Told, trail: Trail, voice: Voice, headers: Record<string, string> = {}): Response {
  return new Response(voice.errorBody(told), {
    status: told.status,
    headers: { ...trailHeaders(trail), ...errorHeaders(told), ...headers },
  })
}
