// Ledger objects, which live in the edge Worker. A stub per call: after an error a stub may stay broken.
// Another release of the edge may answer: exchange-answer.ts says what of it is believed.

import type { LedgerCalls } from '../../shared/wire/ledger.ts'
import type { Ledgers } from '../ports.ts'
import { readAnswer } from './exchange-answer.ts'

export function ledgers(namespace: DurableObjectNamespace<LedgerCalls & Rpc.DurableObjectBranded>): Ledgers {
  return {
    async exchange(target, exchange) {
      const stub = namespace.get(namespace.idFromName(target.name), target.hint ? { locationHint: target.hint } : {})
      const answer = readAnswer(await stub.exchange(exchange), target)
      if (!answer) throw new Error(`ledgers: ${target.name} answered without a generation`)
      return answer
    },
  }
}
