// Joins ports and adapters. The only file of the edge that reads env.

import { allowsPrivate } from '../shared/address.ts'
import { freshId, systemClock, systemRandom, systemTimer } from '../shared/system.ts'
import { originOf } from '../shared/geo.ts'
import type { OriginName } from '../shared/ids.ts'
import { signerOf, type Signer } from '../shared/signature.ts'
import type { CoreCalls } from '../shared/wire/credential.ts'
import type { LedgerCalls } from '../shared/wire/ledger.ts'
import { overridePurpose } from '../shared/wire/override.ts'
import { cadences, type CadenceMemory } from './adapters/cadences.ts'
import { credentials, type CredentialMemory } from './adapters/credentials.ts'
import { endpointProber } from './adapters/endpoint-prober.ts'
import { emptyLedgerMemory, ledgers } from './adapters/ledgers.ts'
import { emptyLoadsMemory, loads } from './adapters/loads.ts'
import { emptyReflexMemory, reflexes } from './adapters/reflexes.ts'
import { requestBody, type UploadMemory } from './adapters/request-body.ts'
import { emptyShadowMemory, shadowPlaces } from './adapters/shadow-places.ts'
import { emptySnapshotMemory, snapshots } from './adapters/snapshots.ts'
import { emptyOpenedMemory, serviceStatuses, upstreams } from './adapters/upstreams.ts'
import type { Body } from './facts.ts'
import type { EdgePorts, RequestLine } from './ports.ts'
import type { LedgerObject } from './ledger/ledger.ts'
import type { LedgerPorts } from './ledger/ports.ts'

export type EdgeEnv = {
  readonly LEDGER: DurableObjectNamespace<LedgerObject>
  readonly STATE: KVNamespace
  readonly CORE: CoreCalls
  readonly DEFAULT_ORIGIN: string
  /** Secret, the same as core's: opens the credentials of endpoints. */
  readonly CREDENTIAL_KEY?: string
  /** 'true' lets endpoints stand at addresses that are not public; unset in deployments. */
  readonly ALLOW_PRIVATE_ENDPOINTS?: string
  /** Milliseconds that a question to a ledger waits at least, for machines where a call takes longer than the map says; unset in deployments. */
  readonly LEDGER_WAIT_MS?: string
}

/** What an isolate remembers between requests: plain data, each part with a bound. */
const snapshotMemory = emptySnapshotMemory()
const credentialMemory: CredentialMemory = new Map()
const openedMemory = emptyOpenedMemory()
const cadenceMemory: CadenceMemory = new Map()
const ledgerMemory = emptyLedgerMemory()
const loadsMemory = emptyLoadsMemory()
const reflexMemory = emptyReflexMemory()
const shadowMemory = emptyShadowMemory()
/** undefined: not made yet. Its maker's promise is not kept, for it belongs to the request that made it. */
const overrideMemory: { signer: Signer | null | undefined } = { signer: undefined }

/** The ports of one request. */
export function portsFor(env: EdgeEnv, context: Pick<ExecutionContext, 'waitUntil'>): EdgePorts {
  const afterResponse = (work: Promise<unknown>): void => context.waitUntil(work)
  const ledger = (name: string): LedgerCalls => env.LEDGER.get(env.LEDGER.idFromName(name))
  const clock = systemClock
  const timer = systemTimer
  const log = (line: RequestLine): void => console.log(JSON.stringify(line))
  const known = snapshots(snapshotMemory, { home: ledger, kv: env.STATE, signer: () => signerOf(env.CREDENTIAL_KEY), clock, timer, log })
  const told = loads(loadsMemory, clock)
  return {
    clock,
    timer,
    random: systemRandom,
    snapshots: known,
    credentials: credentials(credentialMemory, { core: env.CORE, kv: env.STATE, clock, timer, afterResponse }),
    ledgers: ledgers(ledgerMemory, {
      ledger,
      clock,
      timer,
      afterResponse,
      learn: (news) => {
        known.adopt(news)
        told.learn(news)
      },
      generation: () => snapshotMemory.snapshot?.generation ?? 0,
      loadsSeqOf: told.seqOf,
      waitMsMin: Number(env.LEDGER_WAIT_MS ?? 0) || 0,
    }),
    loads: told,
    reflexes: reflexes(reflexMemory, { clock, random: systemRandom }),
    upstream: upstreams(upstreamSources(env)),
    cadences: cadences(cadenceMemory),
    overrides: async () => {
      if (overrideMemory.signer === undefined) overrideMemory.signer = await signerOf(env.CREDENTIAL_KEY, overridePurpose)
      return overrideMemory.signer
    },
    shadows: shadowPlaces(shadowMemory),
    log,
    afterResponse,
  }
}

const upstreamSources = (env: EdgeEnv) => ({
  memory: openedMemory,
  credentialKey: env.CREDENTIAL_KEY,
  allowPrivate: allowsPrivate(env.ALLOW_PRIVATE_ENDPOINTS),
})

/** The ports of a ledger object, which lives longer than a request. */
export function ledgerPortsFor(env: EdgeEnv): LedgerPorts {
  const sources = upstreamSources(env)
  const signer = signerOf(env.CREDENTIAL_KEY)
  const verify: LedgerPorts['verify'] = async (text, signature) => (await signer)?.verify(text, signature) ?? true
  return {
    clock: systemClock,
    timer: systemTimer,
    random: systemRandom,
    freshId,
    prober: endpointProber({ upstream: upstreams(sources), clock: systemClock, describe: serviceStatuses(sources) }),
    verify: env.CREDENTIAL_KEY === undefined ? null : verify,
  }
}

/** The caller's origin: where the platform says he is (`request.cf`), else the configured one. */
export function originFor(cf: unknown, env: EdgeEnv): OriginName {
  const place = typeof cf === 'object' && cf !== null && 'latitude' in cf && 'longitude' in cf ? cf : null
  const latitude = Number(place?.latitude ?? Number.NaN)
  const longitude = Number(place?.longitude ?? Number.NaN)
  if (Number.isFinite(latitude) && Number.isFinite(longitude)) return originOf({ latitude, longitude })
  return env.DEFAULT_ORIGIN as OriginName
}

const uploadMemory: UploadMemory = { heldBytes: 0 }

export const bodyFor = (request: Request): Body => requestBody(request, uploadMemory, systemClock, systemTimer)
