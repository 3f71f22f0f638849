// The outside world of model servers: judges the address, opens the credential, and chooses the adapter by the endpoint's kind.

import { refusedRange } from '../../shared/address.ts'
import { readEndpointCredential, type EndpointCredential } from '../../shared/endpoint-credential.ts'
import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { open, sealKeyOf, type SealKey } from '../../shared/sealed.ts'
import type { ServiceStatus } from '../../shared/wire/probe.ts'
import type { Endpoint } from '../../shared/wire/snapshot.ts'
import type { Upstream, UpstreamAnswer, UpstreamFailure, UpstreamRequest } from '../ports.ts'
import { sendHttp } from './http-upstream.ts'
import { sendSageMaker } from './sagemaker.ts'
import { describeEndpoint } from './sagemaker-status.ts'

/** One per isolate, shared by its requests: plain data only, at most limits.openedHeldMax credentials. */
export type OpenedMemory = {
  key: { readonly secret: string; readonly key: SealKey } | null
  readonly opened: Map<string, EndpointCredential>
}

export const emptyOpenedMemory = (): OpenedMemory => ({ key: null, opened: new Map() })

export type UpstreamSources = {
  readonly memory: OpenedMemory
  /** The deployment's secret; undefined where it has none. */
  readonly credentialKey: string | undefined
  readonly allowPrivate: boolean
}

type Sent = Result<UpstreamAnswer, UpstreamFailure>

export function upstreams(sources: UpstreamSources): Upstream {
  return {
    send: async (request) => {
      // Core judged the address when the row was written; the row may be older than that, or written past core.
      const range = request.path.startsWith('/') ? refusedRange(request.endpoint.url + request.path, sources.allowPrivate) : 'not_http'
      if (range) return err({ detail: `not called: the endpoint's address is not public (${range})` })
      const credential = await credentialOf(request.endpoint, sources)
      return credential.ok ? sendTo(request, credential.value) : credential
    },
  }
}

/** Asks the service in front of an endpoint how the endpoint is, with the endpoint's own credential. Never rejects. */
export function serviceStatuses(sources: UpstreamSources) {
  return async (endpoint: Endpoint, signal: AbortSignal): Promise<Result<ServiceStatus, UpstreamFailure>> => {
    const range = refusedRange(endpoint.url, sources.allowPrivate)
    if (range) return err({ detail: `not called: the endpoint's address is not public (${range})` })
    const credential = await credentialOf(endpoint, sources)
    if (!credential.ok) return credential
    if (!credential.value || !('secretAccessKey' in credential.value)) return err({ detail: 'the endpoint has no credential of AWS' })
    return describeEndpoint(endpoint, credential.value, signal)
  }
}

async function sendTo(request: UpstreamRequest, credential: EndpointCredential | null): Promise<Sent> {
  switch (request.endpoint.kind) {
    case 'openai':
    case 'anthropic':
    case 'open_inference':
      if (credential && 'secretAccessKey' in credential) return err({ detail: 'the credential is not of this kind of endpoint' })
      return sendHttp(request, credential)
    case 'sagemaker':
      if (!credential) return err({ detail: 'a SageMaker endpoint needs a credential, and this one has none' })
      if (!('secretAccessKey' in credential)) return err({ detail: 'the credential is not of this kind of endpoint' })
      return sendSageMaker(request, credential)
  }
}

/** The endpoint's credential, opened; null when it has none. Failures tell what is wrong with the seal, never what is in it. */
async function credentialOf(endpoint: Endpoint, sources: UpstreamSources): Promise<Result<EndpointCredential | null, UpstreamFailure>> {
  if (endpoint.credential === null) return ok(null)
  const { opened } = sources.memory
  // With the endpoint's id and kind: a sealed text copied to another row must not be found here either.
  const name = `${endpoint.kind} ${endpoint.id} ${endpoint.credential}`
  const held = opened.get(name)
  if (held) return ok(held)

  const key = await keyOf(sources)
  if (!key) return err({ detail: "the endpoint's credential cannot be opened: this deployment's edge has no CREDENTIAL_KEY" })
  const text = await open(endpoint.credential, endpoint.id, key)
  if (!text.ok) return err({ detail: `the endpoint's credential cannot be opened (${text.error})` })
  const read = readEndpointCredential(endpoint.kind, parsed(text.value))
  if (!read.ok) return err({ detail: "the endpoint's credential is not one of its kind" })
  opened.set(name, read.value)
  // A Map iterates in insertion order: the first was opened longest ago.
  const oldest = opened.size > limits.openedHeldMax ? opened.keys().next().value : undefined
  if (oldest !== undefined) opened.delete(oldest)
  return read
}

async function keyOf({ memory, credentialKey }: UpstreamSources): Promise<SealKey | null> {
  if (credentialKey === undefined) return null
  if (memory.key?.secret === credentialKey) return memory.key.key
  const made = await sealKeyOf(credentialKey)
  if (!made.ok) return null
  memory.key = { secret: credentialKey, key: made.value }
  return made.value
}

/** Not JSON is no credential: the parser's own words would quote it. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
