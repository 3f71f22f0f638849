// Joins ports and adapters. The only file of the edge that reads env.

import { allowsPrivate } from '../shared/address.ts'
import { systemClock, systemRandom, systemTimer } from '../shared/system.ts'
import { originOf } from '../shared/geo.ts'
import type { OriginName } from '../shared/ids.ts'
import { signerOf } from '../shared/signature.ts'
import type { CoreCalls } from '../shared/wire/credential.ts'
import type { LedgerCalls } from '../shared/wire/ledger.ts'
import { cadences, type CadenceMemory } from './adapters/cadences.ts'
import { credentials, type CredentialMemory } from './adapters/credentials.ts'
import { ledgers } from './adapters/ledgers.ts'
import { requestBody, type UploadMemory } from './adapters/request-body.ts'
import { emptySnapshotMemory, snapshots } from './adapters/snapshots.ts'
import { emptyOpenedMemory, upstreams } from './adapters/upstreams.ts'
import type { Body } from './facts.ts'
import type { EdgePorts, RequestLine } from './ports.ts'
import type { Ledger } from './ledger/ledger.ts'

export type EdgeEnv = {
  readonly LEDGER: DurableObjectNamespace<Ledger>
  readonly STATE: KVNamespace
  readonly CORE: CoreCalls
  readonly DEFAULT_ORIGIN: string
  /** Secret, the same as core's: opens the credentials of endpoints. */
  readonly CREDENTIAL_KEY?: string
  /** 'true' lets endpoints stand at addresses that are not public; unset in deployments. */
  readonly ALLOW_PRIVATE_ENDPOINTS?: string
}

/** What an isolate remembers between requests: plain data, each part with a bound. */
const snapshotMemory = emptySnapshotMemory()
const credentialMemory: CredentialMemory = new Map()
const openedMemory = emptyOpenedMemory()
const cadenceMemory: CadenceMemory = new Map()

/** The ports of one request. */
export function portsFor(env: EdgeEnv, context: Pick<ExecutionContext, 'waitUntil'>): EdgePorts {
  const afterResponse = (work: Promise<unknown>): void => context.waitUntil(work)
  const ledger = (name: string): LedgerCalls => env.LEDGER.get(env.LEDGER.idFromName(name))
  const clock = systemClock
  const timer = systemTimer
  const log = (line: RequestLine): void => console.log(JSON.stringify(line))
  return {
    clock,
    timer,
    random: systemRandom,
    snapshots: snapshots(snapshotMemory, { home: ledger, kv: env.STATE, signer: () => signerOf(env.CREDENTIAL_KEY), clock, timer, log }),
    credentials: credentials(credentialMemory, { core: env.CORE, kv: env.STATE, clock, timer, afterResponse }),
    ledgers: ledgers({ ledger, timer, afterResponse }),
    upstream: upstreams({
      memory: openedMemory,
      credentialKey: env.CREDENTIAL_KEY,
      allowPrivate: allowsPrivate(env.ALLOW_PRIVATE_ENDPOINTS),
    }),
    cadences: cadences(cadenceMemory),
    log,
    afterResponse,
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
