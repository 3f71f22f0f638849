// Which fault is on when, from a seed. Pure. One at a time, with pauses in which what was broken recovers; calm at the beginning and the end.

import type { Random } from '../../shared/random.ts'
import type { Fault } from './faults.ts'

/** Milliseconds since the beginning of the soak. */
export type Stint = { readonly fault: Fault; readonly onAtMs: number; readonly offAtMs: number }

/** A first look at a platform that works, and a last one: a breaker's back-off and one probe for a token. */
const calmAtFirstMs = 15_000
const calmAtLastMs = 40_000
const stintMs = { least: 8_000, most: 20_000 }
/** Long enough to come back in most cases; the next fault may well find the last one's endpoint still on trial. */
const pauseMs = { least: 12_000, most: 22_000 }

const between = ({ least, most }: { readonly least: number; readonly most: number }, random: Random): number =>
  Math.round(least + (most - least) * random())

/**
 * Every fault comes up before any comes up again. Those that end a runtime are on in the first half only, and so come early: in the second,
 * memory is measured.
 */
export function schedule(faults: readonly Fault[], lengthMs: number, random: Random): readonly Stint[] {
  const stints: Stint[] = []
  let waiting: readonly Fault[] = shuffled(faults, random).toSorted((a, b) => Number(b.endsRuntime) - Number(a.endsRuntime))
  let onAtMs = calmAtFirstMs
  for (;;) {
    const offAtMs = onAtMs + between(stintMs, random)
    if (offAtMs > lengthMs - calmAtLastMs) return stints
    const mayEndRuntime = offAtMs + pauseMs.least < lengthMs / 2
    const fault = waiting.find(({ endsRuntime }) => mayEndRuntime || !endsRuntime) ?? faults.find(({ endsRuntime }) => !endsRuntime)
    if (!fault) return stints
    stints.push({ fault, onAtMs, offAtMs })
    waiting = waiting.filter((each) => each !== fault)
    if (!waiting.some(({ endsRuntime }) => mayEndRuntime || !endsRuntime)) waiting = shuffled(faults, random)
    onAtMs = offAtMs + between(pauseMs, random)
  }
}

/** Fisher and Yates. */
function shuffled<T>(items: readonly T[], random: Random): readonly T[] {
  const order = [...items]
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    const moved = order[last] as T
    order[last] = order[other] as T
    order[other] = moved
  }
  return order
}
