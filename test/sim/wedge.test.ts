// An engine that answers its health path and generates nothing. Its health says nothing of that; what it is asked for does.

import { describe, expect, it } from 'vitest'
import type { ProbeOrder } from '../../shared/wire/probe.ts'
import { runOnce } from './harness/runs.ts'
import type { World } from './harness/world.ts'
import type { Core } from './policies/core.ts'
import { isochroneCellOf } from './policies/isochrone-cell.ts'
import { endpointName } from './policies/names.ts'
import { oneCell } from './scenarios/layouts.ts'

const wedged = 2
const fromMs = 60_000
const never = { ok: false, afterMs: Number.POSITIVE_INFINITY }

/** Seconds from the wedge until core's word for the endpoint is `ejected`; null: never. `requestsPerS` go to the whole cell. */
function ejectedAfterS(requestsPerS: number, generates: boolean): number | null {
  let ejectedAtMs: number | null = null
  let nowMs = () => 0
  const onTurn = (core: Core) => {
    if (core.judged.get(endpointName(wedged))?.health === 'ejected') ejectedAtMs ??= nowMs()
  }
  const probed = (station: number, { kind }: ProbeOrder) => {
    const isWedged = station === wedged && nowMs() >= fromMs
    if (kind === 'generation' && !generates) return { ok: true, afterMs: 50 }
    return isWedged && kind === 'generation' ? never : { ok: true, afterMs: 5 }
  }
  const prepare = (world: World) => {
    nowMs = () => world.nowMs
    // Whoever sends it a request waits for its first token for half a minute, and gives up.
    world.timeline.at(fromMs, () => (world.stations[wedged]!.fault = () => ({ outcome: 'hard_failure', afterMs: 30_000 })))
  }
  const load = requestsPerS / 288
  runOnce(isochroneCellOf({ probed, onTurn }), {
    layout: oneCell,
    load,
    serviceTimeS: 1,
    requests: Math.round(requestsPerS * 180),
    seed: 1,
    prepare,
  })
  return ejectedAtMs === null ? null : (ejectedAtMs - fromMs) / 1_000
}

describe('a wedged engine', () => {
  it.each([100, 10, 0.2])('is ejected within 45 s, with %s requests a second', (requestsPerS) => {
    expect(ejectedAfterS(requestsPerS, true)).not.toBeNull()
    expect(ejectedAfterS(requestsPerS, true)).toBeLessThanOrEqual(45)
  })

  it('where its health path alone never shows it', () => {
    expect(ejectedAfterS(0.2, false)).toBeNull()
  })
})
