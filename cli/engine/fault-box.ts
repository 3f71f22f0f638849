// cli/engine/fault-box.ts — the faults in force now, changed on the control port while the engine runs.
import { seededChance } from './chance.ts'
import { drawFault, type Fault, type Faults } from './faults.ts'

export type FaultBox = {
  readonly current: () => Faults
  /** Chance starts again from the seed, so that the same faults hit the same requests. */
  readonly set: (faults: Faults) => void
  readonly draw: () => Fault
  /** Resolves when `hangLoad` is not, or no longer, set. */
  readonly untilLoadMayGo: () => Promise<void>
}

export function openFaultBox(first: Faults, seed: number): FaultBox {
  let faults = first
  let chance = seededChance(seed)
  let errorsInARow = 0
  // At most one per model being loaded, and those are bounded.
  let held: (() => void)[] = []
  return {
    current: () => faults,
    set: (next) => {
      faults = next
      chance = seededChance(seed)
      errorsInARow = 0
      if (next.hangLoad) return
      for (const release of held) release()
      held = []
    },
    draw: () => {
      const fault = drawFault(faults, chance, errorsInARow)
      errorsInARow = fault.kind === 'error' ? errorsInARow + 1 : 0
      return fault
    },
    untilLoadMayGo: () => (faults.hangLoad ? new Promise((resolve) => held.push(resolve)) : Promise.resolve()),
  }
}
