// One soak from its first request to the last lease: follows the schedule, looks at memory, and says what it saw. Judges nothing.

import { setTimeout as sleep } from 'node:timers/promises'
import { limits } from '../../shared/limits.ts'
import type { Scene } from '../support/fault-scene.ts'
import { until } from '../support/platform.ts'
import { metricsGone } from './faults.ts'
import { liveHeaps, type Heap } from './heap.ts'
import { lookAt, type MemoryLook } from './memory.ts'
import { minuteLine } from './report.ts'
import type { Stint } from './schedule.ts'
import { heapRow, processRow, type Seen, type Spell } from './verdict.ts'

export const roles = ['edge', 'core', 'ledgers'] as const
export type Look = MemoryLook & { readonly role: (typeof roles)[number] }

export type Soaked = Seen & { readonly startMs: number; readonly looks: readonly Look[] }

export type Terms = {
  readonly plan: readonly Stint[]
  readonly lengthMs: number
  /** Of each request of the load. */
  readonly timeoutMs: number
  readonly say: (line: string) => void
}

const memoryEveryMs = 2_000
/** Also how often heaps are collected: what lies about uncollected would hide what grows. */
const heapEveryMs = 60_000
/** Core asks its ledgers each second; a machine that is busy may skip a few. */
const statusLagMs = 10_000

export async function runSoak(scene: Scene, terms: Terms): Promise<Soaked> {
  const startMs = Date.now()
  const looks: Look[] = []
  const looking = setInterval(() => looks.push(...memoryNow(scene)), memoryEveryMs)
  const telling = setInterval(() => terms.say(minuteLine(scene, looks, startMs)), 60_000)
  const heaps: (Heap & { readonly atMs: number })[] = []
  const lookIntoHeaps = async () => {
    for (const heap of await heapsNow(scene)) heaps.push({ ...heap, atMs: Date.now() })
  }
  const collecting = setInterval(() => void lookIntoHeaps(), heapEveryMs)
  let spells: readonly Spell[]
  try {
    spells = await follow(scene, terms, startMs)
  } finally {
    clearInterval(looking)
    clearInterval(telling)
    clearInterval(collecting)
  }
  await scene.load.stop()
  const left = await untilNothingLeft(scene, terms.timeoutMs + limits.leaseGraceMs + statusLagMs)
  await lookIntoHeaps()
  const isOfSecondHalf = ({ atMs }: { readonly atMs: number }): boolean => atMs >= startMs + terms.lengthMs / 2
  const processes = Map.groupBy(looks.filter(isOfSecondHalf), ({ role }) => `process of ${role}`)
  const workers = Map.groupBy(heaps.filter(isOfSecondHalf), ({ worker }) => `heap of ${worker}`)
  const memory = [
    ...[...processes].map(([of, seen]) => processRow(of, seen)),
    ...[...workers].map(([of, seen]) =>
      heapRow(
        of,
        seen.map(({ bytes }) => bytes),
      ),
    ),
  ]
  return { samples: scene.load.samples(), spells, left, memory, startMs, looks }
}

async function follow(scene: Scene, { plan, lengthMs, say }: Terms, startMs: number): Promise<readonly Spell[]> {
  const untilMs = (ms: number) => sleep(Math.max(0, startMs + ms - Date.now()))
  const spells: Spell[] = []
  let areMetricsGone = false
  for (const { fault, onAtMs, offAtMs } of plan) {
    await untilMs(onAtMs)
    // Between faults, when every engine can be told. They are gone in the middle half.
    const shallBeGone = onAtMs > lengthMs / 4 && onAtMs < (3 * lengthMs) / 4
    if (shallBeGone !== areMetricsGone) {
      await scene.setEverywhere(shallBeGone ? metricsGone : {})
      areMetricsGone = shallBeGone
      say(`${since(startMs)}  metrics ${shallBeGone ? 'gone everywhere' : 'back'}`)
    }
    const onMs = Date.now()
    await fault.on(scene)
    say(`${since(startMs)}  ${fault.name}`)
    await untilMs(offAtMs)
    await fault.off(scene)
    spells.push({ fault, onAtMs: onMs, offAtMs: Date.now() })
    say(`${since(startMs)}  ${fault.name}: over`)
  }
  await untilMs(lengthMs)
  return spells
}

const memoryNow = (scene: Scene): readonly Look[] => {
  const { processes } = scene.platform.devNow()
  return roles.flatMap((role) => {
    const look = lookAt(processes[role] ?? 0, Date.now())
    return look ? [{ ...look, role }] : []
  })
}

/** Of the runtimes that answer: one may be gone at this moment, which is a fault and not a finding. */
async function heapsNow(scene: Scene): Promise<readonly Heap[]> {
  const urls = Object.values(scene.platform.devNow().inspectorUrls).filter((url) => typeof url === 'string')
  const heaps = await Promise.allSettled(urls.map(liveHeaps))
  return heaps.flatMap((heap) => (heap.status === 'fulfilled' ? heap.value : []))
}

/** Waits until no ledger counts anything in flight; what is left after `withinMs`, by ledger. */
async function untilNothingLeft(scene: Scene, withinMs: number): Promise<Readonly<Record<string, number>>> {
  const lastMs = Date.now() + withinMs
  return until(async () => {
    const { ledgers } = await scene.status()
    const counts = ledgers.map(({ name, inFlight }) => [name, Object.values(inFlight).reduce((sum, count) => sum + count, 0)] as const)
    const left = counts.filter(([, count]) => count > 0)
    return left.length === 0 || Date.now() > lastMs ? Object.fromEntries(left) : null
  }, 500)
}

/** Minutes and seconds since the beginning. */
export function since(startMs: number): string {
  const seconds = Math.round((Date.now() - startMs) / 1_000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}
