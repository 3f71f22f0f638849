// Servers with a model repository: the Open Inference Protocol's repository extension, as Triton, MLServer and the local engine speak it.
// `index` says what is there; `load` and `unload` change it. Who answers a load with success may still be at it, and who has not answered
// in time may succeed: only the index is believed.

import { secretsOf, type HttpCredential } from '../../shared/endpoint-credential.ts'
import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { DeployedVersion, DeployProgress, DeployTarget } from '../ports.ts'
import { servedNameOf } from '../served-name.ts'
import { fieldsIn, jsonOf, post, wordsOf, type Answered, type Unanswered } from './bounded-call.ts'

export type Repository = { readonly target: DeployTarget; readonly credential: HttpCredential | null; readonly allowPrivate: boolean }

/** One call's place and time: all its requests together have limits.deployCallMsMax. */
type Place = Repository & { readonly name: string; readonly signal: AbortSignal }

/** What the index says of one name. */
type Listed = { readonly state: 'ready' | 'loading' | 'unloading' | 'absent'; readonly reason: string }

/** Loads the version, or says how far that is. Never throws. */
export async function load(of: Repository, version: DeployedVersion): Promise<DeployProgress> {
  const place = placeOf(of, version)
  const before = await listed(place)
  if (!before.ok) return before.error
  if (before.value.state !== 'absent') return broughtBy(place, before.value)
  const answered = await ask(place, `/v2/repository/models/${encodeURIComponent(place.name)}/load`)
  if (!answered.ok) return answered.error.isLate ? { state: 'loading', detail: 'the server is loading it' } : failure(answered.error)
  if (answered.value.status >= 300) return refusal(answered.value, 'load')
  const after = await listed(place)
  return after.ok ? broughtBy(place, after.value) : after.error
}

/** Unloads the version, or says how far that is. Never throws. */
export async function unload(of: Repository, version: DeployedVersion): Promise<DeployProgress> {
  const place = placeOf(of, version)
  const before = await listed(place)
  if (!before.ok) return before.error
  if (before.value.state === 'absent') return { state: 'gone', detail: 'the server does not have it in memory' }
  if (before.value.state === 'unloading') return unloading
  const answered = await ask(place, `/v2/repository/models/${encodeURIComponent(place.name)}/unload`)
  if (!answered.ok) return answered.error.isLate ? unloading : failure(answered.error)
  if (answered.value.status >= 300) return refusal(answered.value, 'unload')
  const after = await listed(place)
  if (!after.ok) return after.error
  return after.value.state === 'absent' ? { state: 'gone', detail: 'unloaded' } : unloading
}

const unloading: DeployProgress = { state: 'loading', detail: 'the server is unloading it' }

function broughtBy({ name }: Place, { state, reason }: Listed): DeployProgress {
  switch (state) {
    case 'ready':
      return { state: 'ready', detail: 'the server says that it is ready', servedName: name }
    case 'loading':
      return { state: 'loading', detail: 'the server is loading it' }
    case 'unloading':
      return { state: 'loading', detail: 'the server is unloading it, and will be asked to load it after that' }
    case 'absent':
      return {
        state: 'failed',
        detail: `loaded, the server says, but it is not ready${reason === '' ? '' : `: ${reason}`}`,
        mayRetry: true,
      }
  }
}

const placeOf = (of: Repository, version: DeployedVersion): Place => ({
  ...of,
  name: servedNameOf(version, 'model_repository'),
  signal: AbortSignal.timeout(limits.deployCallMsMax),
})

/** Where a name stands. Failure: a step of its own, for without the index nothing is known. */
async function listed(place: Place): Promise<Result<Listed, DeployProgress>> {
  const answered = await ask(place, '/v2/repository/index')
  if (!answered.ok) return err(failure(answered.error))
  if (answered.value.status >= 300) return err(refusal(answered.value, 'index'))
  const rows = rowsOf(jsonOf(answered.value.text))
  if (!rows) return err({ state: 'failed', detail: "the server's answer is not the index of a model repository", mayRetry: false })
  const states = rows.filter(({ name }) => name === place.name).map(stateOf)
  // A row for each version of the name: one that is ready serves.
  const found = (['ready', 'loading', 'unloading'] as const).map((wanted) => states.find(({ state }) => state === wanted)).find(Boolean)
  return ok(found ?? states[0] ?? { state: 'absent', reason: 'the index does not name it' })
}

/** A list, by the protocol's text; as an object with a list by its gRPC form, which gateways pass on. null for anything else. */
function rowsOf(body: unknown): readonly Readonly<Record<string, unknown>>[] | null {
  const list: unknown = Array.isArray(body) ? body : fieldsIn(body)['models']
  return Array.isArray(list) ? list.map(fieldsIn) : null
}

/** Triton leaves the state out of what was never loaded, and so may others. */
function stateOf({ state, reason }: Readonly<Record<string, unknown>>): Listed {
  const said = typeof reason === 'string' ? reason : ''
  switch (typeof state === 'string' ? state.toUpperCase() : '') {
    case 'READY':
      return { state: 'ready', reason: said }
    case 'LOADING':
      return { state: 'loading', reason: said }
    case 'UNLOADING':
      return { state: 'unloading', reason: said }
    default:
      return { state: said === 'being unloaded' ? 'unloading' : 'absent', reason: said }
  }
}

function ask({ target, credential, allowPrivate, signal }: Place, path: string): Promise<Result<Answered, Unanswered>> {
  return post({
    url: (target.deploy['url'] ?? target.url) + path,
    headers: { 'content-type': 'application/json', ...authorization(credential) },
    body: '{}',
    signal,
    secrets: credential ? secretsOf(credential) : [],
    allowPrivate,
  })
}

function authorization(credential: HttpCredential | null): Readonly<Record<string, string>> {
  if (!credential) return {}
  if ('bearer' in credential) return { authorization: `Bearer ${credential.bearer}` }
  if ('apiKey' in credential) return { 'x-api-key': credential.apiKey }
  return { [credential.header]: credential.value }
}

const failure = ({ detail, mayRetry }: Unanswered): DeployProgress => ({ state: 'failed', detail, mayRetry })

/** What passes: the server is busy, or a file is still on its way to it. */
const passing = new Set([404, 408, 409, 425, 429])
/** Triton and the local engine answer 400 to whatever keeps them from loading; these words are of what passes. */
const passingWords = /\bbeing (?:un)?loaded\b|\bno more are allowed\b|\bout of memory\b|\bin progress\b|\btry again\b/i

function refusal({ status, text }: Answered, asked: 'index' | 'load' | 'unload'): DeployProgress {
  const words = wordsOf(text)
  const detail = `asked to ${asked}, the server answers ${status}${words === '' ? '' : `: ${words}`}`
  // Without an index there is no repository: that does not pass.
  const mayPass =
    asked === 'index' ? status !== 404 && passing.has(status) : passing.has(status) || (status === 400 && passingWords.test(words))
  return { state: 'failed', detail, mayRetry: status >= 500 || mayPass }
}
