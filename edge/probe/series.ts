// From the samples of a page to one number: which series are meant, how those of several ranks and models are put together, and what is
// believed. A part that is not a number makes the whole not told. Pure.

import { limits } from '../../shared/limits.ts'
import { numberOf, type Page, type Sample } from './exposition.ts'

/** A name, and where it counts several things, which of its series are meant. A label that a series lacks is an empty text. */
export type Series = {
  readonly name: string
  readonly only?: readonly [label: string, is: RegExp]
  readonly but?: readonly [label: string, is: RegExp]
}
/** Several names of one signal: the first that the page has is read. */
export type Names = readonly (string | Series)[]

const seriesOf = (of: string | Series): Series => (typeof of === 'string' ? { name: of } : of)

/** The same with something behind each name, as in `_bucket`. */
export const suffixed = (names: Names, suffix: string): Names =>
  names.map(seriesOf).map(({ name, ...rest }) => ({ name: name + suffix, ...rest }))

/** The samples of the first of these that the page has; empty when it has none. */
export function find(page: Page, names: Names = []): readonly Sample[] {
  for (const { name, only, but } of names.map(seriesOf)) {
    const is = ({ labels }: Sample, [label, text]: readonly [string, RegExp]) => text.test(labels.get(label) ?? '')
    const meant = (page.samples.get(name) ?? []).filter((sample) => (!only || is(sample, only)) && (!but || !is(sample, but)))
    if (meant.length > 0) return meant
  }
  return []
}

/** As find, where an exporter may have added `_total` or not. */
export const findCounter = (page: Page, names: Names = []): readonly Sample[] =>
  find(
    page,
    names.flatMap((of) => [of, ...suffixed([of], '_total')]),
  )

/** Labels whose series tell of the same requests again: the ranks that run one batch together, and SGLang's priorities beside their sum. */
const copies = new Set(['tp_rank', 'pp_rank', 'moe_ep_rank', 'priority'])

/** The sum over engines, data-parallel ranks and models; of series that tell the same again the largest counts. Null for no samples. */
export function sum(samples: readonly Sample[]): number | null {
  if (samples.length === 0) return null
  const groups = new Map<string, number>()
  for (const { labels, value } of samples) {
    const own = [...labels].filter(([label]) => !copies.has(label))
    const group = JSON.stringify(own.toSorted(([a], [b]) => (a < b ? -1 : 1)))
    groups.set(group, Math.max(value, groups.get(group) ?? value))
  }
  return [...groups.values()].reduce((total, value) => total + value, 0)
}

/** The largest: a request fails where the fullest rank has no room. Null for no samples. */
export function fullest(samples: readonly Sample[]): number | null {
  return samples.length === 0 ? null : Math.max(...samples.map(({ value }) => value))
}

/** A histogram's `_bucket` samples of all ranks together, by String of their bounds; empty when one of them is broken. */
export function buckets(samples: readonly Sample[]): Readonly<Record<string, number>> {
  const byBound = Map.groupBy(samples, ({ labels }) => numberOf(labels.get('le') ?? '') ?? Number.NaN)
  const all = [...byBound].map(([le, same]) => [String(le), counted(sum(same))] as const)
  const whole = all.flatMap(([le, count]) => (count === null || le === 'NaN' ? [] : [[le, count] as const]))
  return whole.length === all.length ? Object.fromEntries(whole) : {}
}

const told = (value: number | null, most: number): number | null => (value !== null && value >= 0 && value <= most ? value : null)

/** A cumulative count or sum: whatever is a number, finite and not negative. */
export const counted = (value: number | null): number | null => told(value, Number.MAX_VALUE)

/** Requests, or events a second. */
export const amount = (value: number | null): number | null => told(value, limits.engineCountMax)

/** 0 to 1. Slightly above one happens (tokens reserved ahead) and is full; far above is another unit, which is not guessed. */
export function share(value: number | null): number | null {
  const believed = told(value, limits.engineShareMax)
  return believed === null ? null : Math.min(1, believed)
}

export const timeMs = (value: number | null): number | null => told(value, limits.engineTimeMsMax)
