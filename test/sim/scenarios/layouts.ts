// The places that scenarios are played in.

import type { Layout } from '../harness/world.ts'

const isolates = 400

/** One region, 288 slots in eight unequal endpoints, no distance. */
export const oneCell: Layout = { regions: [[64, 64, 32, 32, 32, 32, 16, 16]], roundTripMs: [[0]], isolates }

const times = (count: number, slots: number): readonly number[] => Array.from({ length: count }, () => slots)

/**
 * Four regions of 64, 48, 48 and 32 slots: say Virginia, Frankfurt, Oregon, Singapore. Ways between them are what public
 * clouds show between those places, the callers' own region is `ownMs` away.
 */
export const fourRegions = (slotsPerEndpoint: number, ownMs: number): Layout => ({
  regions: [64, 48, 48, 32].map((slots) => times(slots / slotsPerEndpoint, slotsPerEndpoint)),
  roundTripMs: [
    [ownMs, 90, 65, 200],
    [90, ownMs, 140, 160],
    [65, 140, ownMs, 165],
    [200, 160, 165, ownMs],
  ],
  isolates,
})

/** Where the callers of the four regions are. */
export const fourOrigins: readonly number[] = [0.45, 0.25, 0.2, 0.1]
