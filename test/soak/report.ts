// What a soak prints: a line each minute, and tables at its end.

import { aligned } from '../bench/figures.ts'
import type { Scene } from '../support/fault-scene.ts'
import { failed, sentIn, shareOf, tally } from '../support/samples.ts'
import type { Look, Soaked } from './run.ts'
import { megabytes, percent, rowOf } from './verdict.ts'

const minuteMs = 60_000

/** The last minute: requests, failures by code, who answered, memory. */
export function minuteLine(scene: Scene, looks: readonly Look[], startMs: number): string {
  const nowMs = Date.now()
  const samples = sentIn(scene.load.samples(), nowMs - minuteMs, nowMs)
  const failures = failed(samples).map(({ failure }) => failure ?? '')
  return [
    `minute ${Math.round((nowMs - startMs) / minuteMs)}`,
    `${samples.length} requests, ${failures.length} failed ${failures.length > 0 ? JSON.stringify(tally(failures)) : ''}`.trim(),
    scene.endpoints.map((id) => `${id} ${percent(shareOf(samples, id))}`).join(', '),
    looks
      .slice(-3)
      .map(({ role, rss }) => `${role} ${megabytes(rss)}`)
      .join(', '),
  ].join(' | ')
}

export function tables({ spells, samples, memory }: Soaked): string {
  const faults = spells
    .map((spell) => rowOf(spell, samples))
    .map(({ fault, onAtMs, offAtMs, requests, served, servedMin, failures }) => [
      fault,
      `${Math.round((offAtMs - onAtMs) / 1_000)} s`,
      String(requests),
      percent(served),
      percent(servedMin),
      Object.keys(failures).length > 0 ? JSON.stringify(failures) : '',
    ])
  const held = memory.map(({ of, mean, growth, growthMax }) => [of, megabytes(mean), megabytes(growth), megabytes(growthMax)])
  return [
    aligned([['fault', 'on for', 'requests', 'served', 'at least', 'failures'], ...faults]),
    aligned([['memory', 'mean', 'growth in the second half', 'at most'], ...held]),
  ].join('\n\n')
}
