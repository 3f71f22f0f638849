// Every outcome that an attempt may have.

import type { OutcomeKind } from '../../../shared/wire/ledger.ts'

export const outcomeKindsOf = ['good', 'soft_failure', 'hard_failure', 'cancelled'] as const satisfies readonly OutcomeKind[]
