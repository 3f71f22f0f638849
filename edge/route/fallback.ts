// Which endpoint of a cell gets a request when its ledger does not answer. Pure.
// A draw by capacity and weight, never "the least loaded": every isolate would pick the same one from the same old numbers (docs/design/figures.md).

import { drawWeighted, type Random } from '../../shared/random.ts'
import type { Endpoint } from '../../shared/wire/snapshot.ts'

/** One of `endpoints` by slots x weight; null when there is none with a positive weight. */
export const drawBlind = (endpoints: readonly Endpoint[], random: Random): Endpoint | null =>
  drawWeighted(endpoints, (endpoint) => endpoint.slots * endpoint.weight, random)
