// Ledger objects, which live in the edge Worker. A stub per call: after an error a stub may stay broken.

import type { ExchangeAnswer, LedgerCalls } from '../../shared/wire/ledger.ts'
import type { Ledgers } from '../ports.ts'

export function ledgers(namespace: DurableObjectNamespace<LedgerCalls & Rpc.DurableObjectBranded>): Ledgers {
  return {
    async exchange(target, exchange) {
      const stub = namespace.get(namespace.idFromName(target.name), target.hint ? { locationHint: target.hint } : {})
      const answer: ExchangeAnswer = await stub.exchange(exchange)
      // Another release of the edge may answer. A generation that is no number would poison every comparison after it.
      if (!Number.isSafeInteger(answer.generation) || answer.generation < 0) {
        throw new Error(`ledgers: ${target.name} answered without a generation`)
      }
      return { generation: answer.generation, inFlight: answer.inFlight ?? {}, outcomes: answer.outcomes ?? {} }
    },
  }
}
