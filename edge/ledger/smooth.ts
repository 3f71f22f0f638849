// Weighted round robin that does not bunch: an item of weight 5 among 1 and 1 comes as a a b a c a a, not five times in a row.
// The algorithm is nginx's: all earn their weight each turn, the richest is taken and pays for the whole turn.

/** What each item has earned and not yet paid, by id. */
export type Smooth = Map<string, number>

export const newSmooth = (): Smooth => new Map()

/** The id whose turn it is; null when nothing has a positive weight. Ids that are not among the items are forgotten. */
export function next<Id extends string>(smooth: Smooth, items: readonly { readonly id: Id; readonly weight: number }[]): Id | null {
  const weighing = items.filter(({ weight }) => weight > 0 && Number.isFinite(weight))
  const total = weighing.reduce((sum, { weight }) => sum + weight, 0)
  forgetOthers(smooth, new Set(weighing.map(({ id }) => id)))
  let best: { readonly id: Id; readonly earned: number } | null = null
  for (const { id, weight } of weighing) {
    // Nobody owes or is owed more than a turn, except when weights have just fallen: then the old debt must not starve him for ever.
    const earned = Math.min(total, Math.max(-total, smooth.get(id) ?? 0)) + weight
    smooth.set(id, earned)
    if (best === null || earned > best.earned) best = { id, earned }
  }
  if (best === null) return null
  smooth.set(best.id, best.earned - total)
  return best.id
}

function forgetOthers(smooth: Smooth, present: ReadonlySet<string>): void {
  for (const id of smooth.keys()) if (!present.has(id)) smooth.delete(id)
}
