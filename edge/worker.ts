// The edge Worker's entry: the public API, and the objects it hosts.

import { app } from './app.ts'
import { ledgerPortsFor, type EdgeEnv } from './deps.ts'
import { LedgerObject } from './ledger/ledger.ts'

export class Ledger extends LedgerObject {
  constructor(ctx: DurableObjectState, env: EdgeEnv) {
    super(ctx, env, ledgerPortsFor(env))
  }
}

export default app
