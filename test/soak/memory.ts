// Memory of the runtime processes: read from the system, and whether it grows. A process is its whole group: node, and workerd under it.

import { readdirSync, readFileSync } from 'node:fs'

/** One look at one process group. Units: bytes. `anonymous`: heaps and stacks, without files that are mapped. */
export type MemoryLook = { readonly atMs: number; readonly group: number; readonly rss: number; readonly anonymous: number }

/** What the group holds now; null when it is gone. Linux only: it reads /proc. */
export function lookAt(group: number, atMs: number): MemoryLook | null {
  let [rss, anonymous] = [0, 0]
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      // `pid (name) state ppid pgrp ...`; the name may hold spaces and brackets.
      if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]) !== group) continue
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      rss += kilobytes(status, 'VmRSS') * 1024
      anonymous += kilobytes(status, 'RssAnon') * 1024
    } catch {
      // It ended while we looked.
    }
  }
  return rss > 0 ? { atMs, group, rss, anonymous } : null
}

const kilobytes = (status: string, name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0)

/** Bytes per minute by least squares; 0 of less than two looks. */
export function slopeOf(looks: readonly Pick<MemoryLook, 'atMs' | 'rss'>[]): number {
  const [meanAtMs, meanRss] = [mean(looks.map(({ atMs }) => atMs)), mean(looks.map(({ rss }) => rss))]
  const spread = looks.reduce((sum, { atMs }) => sum + (atMs - meanAtMs) ** 2, 0)
  const together = looks.reduce((sum, { atMs, rss }) => sum + (atMs - meanAtMs) * (rss - meanRss), 0)
  return spread === 0 ? 0 : (together / spread) * 60_000
}

const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
