// What became of an attempt, from how its answer ended. Pure. A client that leaves is no failure of the endpoint;
// neither is a deadline the client chose (docs/design/overview.md).

import { unreachable } from '../../shared/result.ts'
import type { OutcomeKind } from '../../shared/wire/ledger.ts'
import type { Ended } from '../facts.ts'

export function outcomeOf(ended: Ended): OutcomeKind {
  switch (ended.how) {
    case 'complete':
      return 'good'
    case 'client_gone':
    case 'deadline':
      return 'cancelled'
    case 'upstream_failed':
      return 'hard_failure'
    default:
      return unreachable(ended.how)
  }
}
