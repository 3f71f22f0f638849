// Complaints about other rollout controllers and routers, and where each is shown not to hold here: a list, so that none is lost when tests are
// moved; and those that are about several stages at once, which have their tests below.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { splits, versionFor } from '../../../edge/admit/assign.ts'
import { contentOf, nextPublished } from '../../../core/publish/snapshot.ts'
import type { Effect, Input, Phase } from '../../../core/rollout/record.ts'
import { apply, diff } from '../../../shared/wire/delta.ts'
import { readSnapshot, type Alias, type Snapshot } from '../../../shared/wire/snapshot.ts'
import { alias as aliasRow } from '../../support/snapshot.ts'
import { minute, passed, r1, Ride, say, v1, v2, weight } from './rollout-ride.ts'

const here = 'test/unit/core/rollout-complaints.test.ts'
const machine = 'test/unit/core/rollout-machine.test.ts'
const routers = 'test/unit/edge/complaints.test.ts'

/** Each with its number, and the file that has a test of that name. */
const complaints: readonly (readonly [string, string, string])[] = [
  ['argo-rollouts#3120, #841', 'an aborted rollout cannot be tried again', machine],
  ['argo-rollouts#1411', 'a failed analysis does not stop the rollout', machine],
  ['argo-rollouts#941', 'the canary is left running after an abort', machine],
  ['argo-rollouts#942', 'a rollout is stuck for ever after a failed step', here],
  ['argo-rollouts#777', 'an abort takes the canary away before stable is up', machine],
  ['argo-rollouts PR#4864', 'a canary is judged before it has traffic', machine],
  ['background analysis ended early', 'counts as a success', machine],
  ['flagger#930', 'weight 0 is left out', machine],
  ['flagger#930, in the snapshot', 'weight 0 is left out', here],
  ['flagger#189', 'success although the last weight was no multiple of the step', machine],
  ['non-multiple step', 'such weights cannot be written', 'test/unit/core/rollout-steps.test.ts'],
  ['flagger PR#1692', 'a promotion loop, when somebody writes the weights again', machine],
  ['flagger PR#1692, by another hand', 'the rollout goes on by weights that are not its own', here],
  ['flagger PR#1851', 'the weight is reset while promoting', machine],
  ['flagger#1647, #1532', 'stickiness drains everybody to the canary', here],
  ['devantler-tech/platform#2387', 'a failed rollout wedges later ones', machine],
  ['vllm-project/router#197', 'the health checker resets counters', routers],
  ['vllm-project/router#254', 'an unhealthy worker’s zero load changes the balance decision', routers],
  ['kubernetes/ingress-nginx#6632', 'a retry may re-pick the failed peer', routers],
]

describe('each complaint has its test', () => {
  const names = (file: string): readonly string[] =>
    [
      ...readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8').matchAll(/(?:\bit|\bdescribe|\])\(?\s*\(\s*(['`])(.*?)\1,/gs),
    ].map(([, , name]) => name ?? '')

  it.each(complaints)('%s (%s) in %s', (number, _, file) => {
    expect(names(file).filter((name) => name.startsWith(number))).not.toEqual([])
  })

  it('where one that nobody has heard of has none', () => {
    expect(names(machine).filter((name) => name.startsWith('argo-rollouts#1'))).toHaveLength(1)
    expect(names(machine).filter((name) => name.startsWith('argo-rollouts#0'))).toEqual([])
  })
})

const catalogue = { regions: [], endpoints: [], models: [] }
const production = aliasRow({ environment: 'production', stable: v1, canary: null, weightBp: 0 })

/** The alias as the effects of a change leave it. */
function writtenBy(row: Alias, effects: readonly Effect[]): Alias {
  const effect = effects.findLast((each) => each.kind === 'alias')
  if (!effect) return row
  const { stable, canary, weightBp, shadowBp, salt, generation } = effect
  return { ...row, stable, canary, weightBp, shadowBp, salt, write: { id: r1, generation } }
}

function published(row: Alias, last: Snapshot | null): Snapshot {
  const content = contentOf({ ...catalogue, aliases: [row] }, new Map())
  const before = last && { snapshot: last, changes: [], auditSeq: 0, retired: [] }
  const draft = { content, written: [], auditSeq: 0, generationFloor: 0, retired: [] }
  const made = nextPublished(before, draft, 1_000)
  if (!made) throw new Error('nothing new to publish')
  return made.snapshot
}

describe('what is published', () => {
  const way = new Ride([weight(2_500)]).begin()
  const running = published(writtenBy(production, way.effects), null)
  const aborted = published(writtenBy(production, way.take(say('abort')).effects), running)

  it('flagger#930, in the snapshot: an abort writes weight 0 and the canary beside it, in the whole as in the difference', () => {
    expect(running.aliases[0]).toMatchObject({ canary: v2, weightBp: 2_500 })
    expect(JSON.stringify(aborted)).toContain('"weightBp":0')
    const delta = diff(running, aborted)
    const told = JSON.parse(JSON.stringify(delta)) as NonNullable<typeof delta>
    for (const read of [readSnapshot(JSON.parse(JSON.stringify(aborted))), apply(running, told)]) {
      const [alias] = read?.aliases ?? []
      expect(alias).toMatchObject({ stable: v1, canary: v2, weightBp: 0, shadowBp: 0 })
      expect(alias && [splits(alias), versionFor(alias, 0)]).toEqual([false, v1])
    }
  })

  it('where a writer that leaves zeros out is not read at all, rather than with the weight of before', () => {
    const leftOut = JSON.stringify(aborted, (name, value: unknown) => (name === 'weightBp' && value === 0 ? undefined : value))
    expect(readSnapshot(JSON.parse(leftOut))).toBeNull()
  })
})

describe('stickiness', () => {
  it('flagger#1647, #1532: a unit that comes again and again stays where it is, and nobody else follows it', () => {
    const alias = aliasRow({ stable: v1, canary: v2, weightBp: 500 })
    const buckets = Array.from({ length: 10_000 }, (_, bucket) => bucket)
    const canaries = (): number => buckets.filter((bucket) => versionFor(alias, bucket) === v2).length
    expect(Array.from({ length: 20 }, canaries)).toEqual(Array.from({ length: 20 }, () => 500))
    // A cookie that keeps whoever has seen the canary once, and draws the others anew at each visit, soon has them all.
    const kept = new Set<number>()
    for (let visit = 0; visit < 60; visit++)
      for (const bucket of buckets) if ((bucket * 7_919 + visit * 613) % 10_000 < 500) kept.add(bucket)
    expect(kept.size).toBeGreaterThan(9_000)
  })
})

describe('weights that somebody else has written', () => {
  const settledBy = (way: Ride, generation: number): Input => way.settled({ generation })

  it('flagger PR#1692, by another hand: traffic by a write that is not the rollout’s leads nowhere, and writes nothing', () => {
    const way = new Ride([weight(100), weight(5_000)]).begin()
    const { aliasGeneration } = way.rollout
    for (const generation of [0, aliasGeneration - 1, aliasGeneration + 1]) way.refuse(settledBy(way, generation), 'not_yet')
    expect(way.rollout).toMatchObject({ phase: 'shifting', aliasGeneration, weightBp: 100 })
    // Nobody writes it back in a loop: its time runs out, and stable gets everything.
    expect(way.expire(0).rollout).toMatchObject({ phase: 'aborting', weightBp: 0 })
  })

  it('and what is told again and again writes the alias once', () => {
    const way = new Ride([weight(100), weight(5_000)]).begin()
    const told: readonly Input[] = [settledBy(way, way.rollout.aliasGeneration), { kind: 'bake_over', canaryRequests: 500 }, passed]
    let writes = 0
    for (let turn = 0; turn < 40; turn++) {
      way.pass(minute)
      for (const input of told) {
        const moved = way.try(input)
        if (!moved.ok) continue
        way.hold(moved.value)
        if (way.effect('alias')) writes++
      }
    }
    expect(writes).toBe(1)
    expect(way.rollout).toMatchObject({ phase: 'shifting', weightBp: 5_000 })
  })
})

describe('the hour', () => {
  it('argo-rollouts#942: after a failure in any mode a rollout ends, though nobody lifts a finger', () => {
    const stops: readonly (readonly [Input, Phase])[] = [
      [{ kind: 'verdict', result: 'fail', mode: 'abort', gate: 'no_harm', detail: '' }, 'aborting'],
      [{ kind: 'verdict', result: 'fail', mode: 'pause', gate: 'no_harm', detail: '' }, 'paused'],
      [{ kind: 'verdict', result: 'inconclusive', mode: 'abort', gate: 'not_worse', detail: '' }, 'paused'],
    ]
    for (const [input, phase] of stops) {
      const way = new Ride([weight(100)]).begin().bake().take(input)
      expect(way.rollout.phase).toBe(phase)
      for (let turn = 0; turn < 3 && way.rollout.deadlineMs !== null; turn++) way.expire()
      expect(way.rollout.phase).toBe('rolled_back')
    }
  })
})
