// The one file that reads the environment: it names core's bindings and puts an adapter behind each port.

import { sha256Hex } from '../shared/hash.ts'
import { freshId, systemClock, systemRandom, systemTimer } from '../shared/system.ts'
import type { LedgerCalls } from '../shared/wire/ledger.ts'
import { catalogueReader } from './adapters/catalogue.ts'
import { controllerCalls } from './adapters/controller.ts'
import { kvCopies } from './adapters/copies.ts'
import { credentials } from './adapters/credentials.ts'
import { ledgers } from './adapters/ledgers.ts'
import { memory } from './adapters/memory.ts'
import { prober } from './adapters/prober.ts'
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
}

export async function adminPorts(env: CoreEnv): Promise<AdminPorts> {
  return {
    clock: systemClock,
    timer: systemTimer,
    freshId,
    rows: rowStore(env.DB),
    controller: controllerPort(env),
    operatorTokenSha256: env.OPERATOR_TOKEN ? await sha256Hex(env.OPERATOR_TOKEN) : null,
    log: (line) => console.error(JSON.stringify(line)),
  }
}

export const loopPorts = (env: CoreEnv, storage: DurableObjectStorage): LoopPorts => ({
  clock: systemClock,
  timer: systemTimer,
  random: systemRandom,
  catalogue: catalogueReader(env.DB),
  credentials: credentials(env.DB),
  prober: prober(),
  ledgers: env.LEDGER ? ledgers(env.LEDGER) : null,
  copies: kvCopies(env.STATE),
  memory: memory(storage),
})

export const controllerPort = (env: CoreEnv): ControllerCalls => controllerCalls(env.CONTROLLER)

export const credentialsPort = (env: CoreEnv): Credentials => credentials(env.DB)
