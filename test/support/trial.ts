// Tallies for tests: of one version and slot, empty but for what matters.

import type { VersionId } from '../../shared/ids.ts'
import { noPart, type TrialTally } from '../../shared/wire/trial.ts'

export const trialTally = (so: Partial<TrialTally> = {}): TrialTally => ({
  alias: 'development/atlas',
  version: 'atlas-2' as VersionId,
  write: '',
  slotMs: 1_000_000,
  shadow: false,
  arrived: 0,
  judged: 0,
  hardErrors: 0,
  empty: noPart,
  schema: noPart,
  earlyAborts: noPart,
  ttft: {},
  tpot: {},
  compared: null,
  ...so,
})
