import { expect, it } from 'vitest'
import { settledAfterAnswer } from '../../../edge/record/outcome.ts'
import type { Ended, Routed } from '../../../edge/facts.ts'
import type { LeaseId } from '../../../shared/ids.ts'
import { endpoint } from '../../support/snapshot.ts'

const routed = (roundTripMs: number | null): Routed => ({
  endpoint: endpoint('a', 'x'),
  lease: 'l' as LeaseId,
  way: 'blind',
  roundTripMs,
  hedgeAfterMs: null,
})
const ended: Ended = { how: 'complete', detail: null, bytes: 1, usage: null, slowestGapMs: null, sense: null }

it.each<[string, number | null, boolean, number | null]>([
  ['without the way, which cells are compared by already', 80, true, 120],
  ['as it was where nobody knows the way', null, true, 200],
  ['as nothing where the way is thought longer than it was', 300, true, 0],
  ['not at all of an answer in one piece, whose first byte is its last', 80, false, null],
])('the time to the first token is told %s', (_, roundTripMs, stream, expected) => {
  const settled = settledAfterAnswer(routed(roundTripMs), ended, { ttfbMs: 200, tookMs: 900, stream })
  expect(settled).toMatchObject({ outcome: 'good', ttfbMs: expected, tookMs: 900, endpoint: 'a', leaseId: 'l' })
})
