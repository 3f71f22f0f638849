// Whether a request can go where its like went, and why not when it cannot. Affinity saves a prefill; it must not make a crowd, so an
// endpoint takes such requests only up to a bound on its load, and only while it is not much slower than the best (Mirrokni, Thorup
// and Zadimoghaddam, consistent hashing with bounded loads). After a few tries the usual pick decides. Pure.

import { limits } from '../../shared/limits.ts'
import { rendezvousOrder } from '../../shared/rendezvous.ts'
import type { EndpointId } from '../../shared/ids.ts'
import type { Affinity } from '../../shared/wire/ledger.ts'
import { matchedBlocks, type PrefixIndex } from './prefix-index.ts'

export type AffineCandidate = {
  readonly id: EndpointId
  readonly inFlight: number
  readonly cap: number
  /** Requests per second when full. */
  readonly rate: number
  readonly predictedMs: number
}

export type Affine = { readonly id: EndpointId; readonly how: Affinity['kind'] } | { readonly left: string }

/**
 * The endpoint that affinity gives, or why it gives none. `candidates` are all that serve, those without room included: what a full one
 * turns away must go to the next in order, and count as a try.
 */
export function affine(affinity: Affinity, candidates: readonly AffineCandidate[], index: PrefixIndex): Affine {
  const reasons: string[] = []
  for (const candidate of preferred(affinity, candidates, index).slice(0, limits.affinityDepthMax)) {
    const reason = hindrance(candidate, candidates)
    if (reason === null) return { id: candidate.id, how: affinity.kind }
    reasons.push(`${candidate.id} ${reason}`)
  }
  return { left: reasons.length > 0 ? reasons.join('; ') : 'no endpoint' }
}

/** By key, weighted by rate; for prefixes, those that have seen most of it come first. */
function preferred(affinity: Affinity, candidates: readonly AffineCandidate[], index: PrefixIndex): readonly AffineCandidate[] {
  const byKey = rendezvousOrder(
    affinity.key,
    candidates,
    ({ id }) => id,
    ({ rate }) => rate,
  )
  if (affinity.kind === 'session') return byKey
  const matched = new Map(byKey.map(({ id }) => [id, matchedBlocks(index, id, affinity.blocks)]))
  // Sorting is stable: equals stay in the order of the key.
  return byKey.toSorted((a, b) => (matched.get(b.id) ?? 0) - (matched.get(a.id) ?? 0))
}

/** Why an endpoint cannot take it, with value and limit; null when it can. */
function hindrance(candidate: AffineCandidate, candidates: readonly AffineCandidate[]): string | null {
  const { inFlight, cap, predictedMs } = candidate
  if (inFlight >= cap) return `is full: ${inFlight} of ${cap}`
  const bound = loadBound(candidate, candidates)
  if (inFlight >= bound) return `has ${inFlight} in flight (load bound ${bound.toFixed(1)})`
  const slowerMs = predictedMs - Math.min(...candidates.map((each) => each.predictedMs))
  if (slowerMs > limits.affinityMarginMs) return `is ${Math.round(slowerMs)} ms slower than the best (limit ${limits.affinityMarginMs})`
  return null
}

/** Its fair share of what is in flight, by rate, a quarter more, and one so that the first request finds a place. */
function loadBound({ rate }: AffineCandidate, candidates: readonly AffineCandidate[]): number {
  const inFlight = candidates.reduce((sum, each) => sum + each.inFlight, 0)
  const rates = candidates.reduce((sum, each) => sum + each.rate, 0)
  return (rates > 0 ? limits.affinityLoadBound * inFlight * (rate / rates) : 0) + 1
}
