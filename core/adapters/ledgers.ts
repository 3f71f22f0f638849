// Ledger objects, which live in the edge Worker. A stub per call: after an error a stub may stay broken.
// Another release of the edge may answer: what it does not know yet is nothing, and what cannot be missing is an error.

import type { ExchangeAnswer, LedgerCalls } from '../../shared/wire/ledger.ts'
import type { Ledgers } from '../ports.ts'

export function ledgers(namespace: DurableObjectNamespace<LedgerCalls & Rpc.DurableObjectBranded>): Ledgers {
  return {
    async exchange(target, exchange) {
      const stub = namespace.get(namespace.idFromName(target.name), target.hint ? { locationHint: target.hint } : {})
      const answer: Partial<ExchangeAnswer> = await stub.exchange(exchange)
      const { generation } = answer
      // A generation that is no number would poison every comparison after it.
      if (generation === undefined || !Number.isSafeInteger(generation) || generation < 0) {
        throw new Error(`ledgers: ${target.name} answered without a generation`)
      }
      return {
        generation,
        life: answer.life ?? '',
        endpoints: answer.endpoints ?? {},
        blocks: answer.blocks ?? [],
        queued: answer.queued ?? 0,
        load: answer.load ?? null,
        probes: answer.probes ?? [],
      }
    },
  }
}
