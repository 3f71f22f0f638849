// The one file that reads the environment: it names core's bindings and puts an adapter behind each port.

import { allowsPrivate } from '../shared/address.ts'
import { sha256Hex } from '../shared/hash.ts'
import { seal, sealKeyOf } from '../shared/sealed.ts'
import { signerOf } from '../shared/signature.ts'
import { freshId, systemClock, systemRandom, systemTimer } from '../shared/system.ts'
import type { LedgerCalls } from '../shared/wire/ledger.ts'
import { catalogueReader } from './adapters/catalogue.ts'
import { controllerCalls } from './adapters/controller.ts'
import { kvCopies } from './adapters/copies.ts'
import { credentials } from './adapters/credentials.ts'
import { eventStore } from './adapters/events.ts'
import { ledgers } from './adapters/ledgers.ts'
import { memory } from './adapters/memory.ts'
import { rowStore } from './adapters/rows.ts'
import type { AdminPorts, ControllerCalls, Credentials, LoopPorts } from './ports.ts'

export type CoreEnv = {
  readonly DB: D1Database
  readonly STATE: KVNamespace
  readonly CONTROLLER: DurableObjectNamespace<ControllerCalls & Rpc.DurableObjectBranded>
  /** Absent until the edge Worker, whose class this is, has been deployed once. */
  readonly LEDGER?: DurableObjectNamespace<LedgerCalls & Rpc.DurableObjectBranded>
  /** Secret. Without it the admin API lets nobody in. */
  readonly OPERATOR_TOKEN?: string
  /** Secret, the same as the edge's. Without it no endpoint can be given a credential. */
  readonly CREDENTIAL_KEY?: string
  /** 'true' lets endpoints stand at addresses that are not public; unset in deployments. */
  readonly ALLOW_PRIVATE_ENDPOINTS?: string
}

export async function adminPorts(env: CoreEnv): Promise<AdminPorts> {
  return {
    clock: systemClock,
    timer: systemTimer,
    freshId,
    seal: await sealer(env),
    allowPrivateEndpoints: allowsPrivate(env.ALLOW_PRIVATE_ENDPOINTS),
    rows: rowStore(env.DB),
    events: eventStore(env.DB),
    controller: controllerPort(env),
    operatorTokenSha256: env.OPERATOR_TOKEN ? await sha256Hex(env.OPERATOR_TOKEN) : null,
    log: (line) => console.error(JSON.stringify(line)),
  }
}

/** null while there is no secret, or one that can be guessed. */
async function sealer(env: CoreEnv): Promise<AdminPorts['seal']> {
  const key = await sealKeyOf(env.CREDENTIAL_KEY ?? '')
  return key.ok ? (text, endpoint) => seal(text, endpoint, key.value) : null
}

export const loopPorts = (env: CoreEnv, storage: DurableObjectStorage): LoopPorts => ({
  clock: systemClock,
  timer: systemTimer,
  random: systemRandom,
  catalogue: catalogueReader(env.DB),
  credentials: credentials(env.DB),
  ledgers: env.LEDGER ? ledgers(env.LEDGER) : null,
  copies: kvCopies(env.STATE, () => signerOf(env.CREDENTIAL_KEY)),
  events: eventStore(env.DB),
  signer: () => signerOf(env.CREDENTIAL_KEY),
  memory: memory(storage),
})

export const controllerPort = (env: CoreEnv): ControllerCalls => controllerCalls(env.CONTROLLER)

export const credentialsPort = (env: CoreEnv): Credentials => credentials(env.DB)
