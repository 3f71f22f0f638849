// The ledger objects, as the isolate sees them. A ledger that does not answer in time is left aside;
// a lease it grants too late is given back, or it would be held until its deadline for nobody.

import { limits } from '../../shared/limits.ts'
import { err, ok } from '../../shared/result.ts'
import { orElse, within, type Timer } from '../../shared/time.ts'
import type { CellId } from '../../shared/ids.ts'
import type { LedgerCalls } from '../../shared/wire/ledger.ts'
import type { Ledgers } from '../ports.ts'

export type LedgerSources = {
  readonly ledger: (cell: CellId) => Pick<LedgerCalls, 'ask' | 'settle'>
  readonly timer: Timer
  readonly afterResponse: (work: Promise<unknown>) => void
}

export function ledgers(sources: LedgerSources): Ledgers {
  const settle: Ledgers['settle'] = async (cell, settled) => {
    try {
      await sources.ledger(cell).settle(settled)
    } catch {
      // The leases end at their deadline; a lost release costs room for a while, never exactness for ever.
    }
  }

  return {
    settle,
    ask: async (cell, ask) => {
      const asked = orElse(sources.ledger(cell).ask(ask), null)
      const answer = await within(asked, limits.ledgerWaitMsMax, 'late' as const, sources.timer)
      if (answer === 'late') {
        sources.afterResponse(
          asked.then((late) => (late?.lease ? settle(cell, [{ leaseId: ask.leaseId, outcome: 'cancelled', ttfbMs: null }]) : undefined)),
        )
        return err('unreachable')
      }
      return answer ? ok(answer) : err('unreachable')
    },
  }
}
