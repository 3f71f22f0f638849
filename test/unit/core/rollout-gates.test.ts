// The gates of a rollout as they are written, and the gates before traffic as they answer from what is stored.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { limits } from '../../../shared/limits.ts'
import type { Environment, VersionId } from '../../../shared/ids.ts'
import { gateModes, gateNames, type GateName, type Verdict } from '../../../shared/wire/gate.ts'
import { loadRunFormat, readLoadRun, type LoadRunReport } from '../../../shared/wire/load-run.ts'
import { readReport } from '../../../shared/wire/report.ts'
import { askEarly } from '../../../core/rollout-gates.ts'
import { defaultGates, readGates } from '../../../core/rollout/gates.ts'
import type { Rollout } from '../../../core/rollout/record.ts'
import { versionDraft } from '../../support/deploy-world.ts'
import { atlas, RolloutWorld, v1, v2 } from '../../support/rollout-world.ts'

// Thousands of turns of virtual time: a busy machine must not decide.
vi.setConfig({ testTimeout: 60_000 })

describe('a list of gates', () => {
  const modesOf = (value: unknown, isLoadDeclared = false) => {
    const read = readGates(value, isLoadDeclared)
    if (!read.ok) throw new Error(JSON.stringify(read.error))
    return Object.fromEntries(read.value.map(({ gate, mode }) => [gate, mode]))
  }
  const usual = { accuracy: 'abort', readiness: 'pause', fast_guard: 'abort', no_harm: 'abort', not_worse: 'pause' }

  it.each([undefined, null, []])('%j: the usual ones', (value) => {
    expect(modesOf(value)).toEqual(usual)
  })

  it('the load gate is usual where an operating point is declared', () => {
    expect(modesOf(null, true)).toEqual({ ...usual, load: 'pause' })
    expect(modesOf([{ gate: 'load', mode: 'abort' }])).toEqual({ ...usual, load: 'abort' })
  })

  it('naming one changes its mode and takes none away', () => {
    expect(modesOf([{ gate: 'no_harm', mode: 'observe' }])).toEqual({ ...usual, no_harm: 'observe' })
  })

  it('each gate in each mode is good, named once', () => {
    for (const mode of gateModes) {
      expect(modesOf(gateNames.map((gate) => ({ gate, mode })))).toEqual(Object.fromEntries(gateNames.map((gate) => [gate, mode])))
    }
    const names = defaultGates(true).map(({ gate }) => gate)
    expect(new Set(names).size).toBe(names.length)
  })

  it.each<readonly [string, unknown, readonly string[]]>([
    ['no list', 'accuracy', ['gates_invalid #/gates']],
    ['an object', { accuracy: 'abort' }, ['gates_invalid #/gates']],
    ['a name alone', ['accuracy'], ['gates_invalid #/gates/0']],
    ['no mode', [{ gate: 'accuracy' }], ['gates_invalid #/gates/0/mode']],
    ['an unknown mode', [{ gate: 'accuracy', mode: 'warn' }], ['gates_invalid #/gates/0/mode']],
    ['a field too many', [{ gate: 'accuracy', mode: 'abort', target: 1 }], ['gates_invalid #/gates/0/target']],
    ['no name', [{ gate: '', mode: 'abort' }], ['gates_invalid #/gates/0/gate']],
    ['a name that is none', [{ gate: 7, mode: 'abort' }], ['gates_invalid #/gates/0/gate']],
    ['a name without end', [{ gate: 'x'.repeat(65), mode: 'abort' }], ['gates_invalid #/gates/0/gate']],
    ['unknown', [{ gate: 'luck', mode: 'abort' }], ['unknown_gate #/gates/0/gate']],
    ['a word of every object', [{ gate: 'constructor', mode: 'abort' }], ['unknown_gate #/gates/0/gate']],
    [
      'named twice, and another unknown: all at once',
      [
        { gate: 'load', mode: 'abort' },
        { gate: 'load', mode: 'pause' },
        { gate: 'luck', mode: 'pause' },
      ],
      ['gates_invalid #/gates/1/gate', 'unknown_gate #/gates/2/gate'],
    ],
    ['too many', Array.from({ length: limits.rolloutGatesMax + 1 }, () => ({ gate: 'load', mode: 'abort' })), ['gates_invalid #/gates']],
  ])('refused, with the field: %s', (_, value, faults) => {
    const read = readGates(value, false)
    expect(read.ok ? [] : read.error.map(({ reason, pointer }) => `${reason} ${pointer}`)).toEqual(faults)
  })
})

const golden = (name: string) => {
  const read = readReport(readFileSync(path.join(import.meta.dirname, `../../golden/reports/${name}.json`), 'utf8'))
  if (!read.ok) throw new Error(read.error.detail)
  return read.value
}

type Gates = Rollout['gates']

/** What the early gates of the rollout say now, by their name. */
async function askOf(world: RolloutWorld, rollout: Rollout): Promise<Partial<Record<GateName, Verdict>>> {
  const objectives = await world.stores.rows.get('model', [atlas])
  if (!objectives) throw new Error('no model')
  const { catalogue, state, ports } = world.room
  const asked = await askEarly({ rollout, objectives }, { ...state, catalogue, nowMs: world.nowMs }, 'now', ports)
  return Object.fromEntries(asked.map((verdict) => [verdict.gate, verdict]))
}

/** The same of a draft to atlas-2 with this gate alone. */
async function ask(world: RolloutWorld, gate: GateName, more: Partial<Pick<Rollout, 'environment' | 'to'>> = {}) {
  const id = await world.start({ start: false })
  const gates: Gates = [{ gate, mode: 'pause' }]
  return (await askOf(world, { ...(await world.rollout(id)), gates, ...more }))[gate]
}

const wordsOf = (verdict: Verdict | undefined): string =>
  verdict?.checks.map(({ answer, reason }) => `${answer}: ${reason}`).join('; ') ?? ''

describe('accuracy', () => {
  it.each([
    ['atlas-2.q8_0', 9_900, 'pass'],
    ['atlas-2.q4_0', 9_900, 'pass'],
    ['atlas-2.q2_k', 9_900, 'fail'],
    ['atlas-1.q8_0', 9_900, 'fail'],
    ['atlas-2.q4_0', 9_990, 'fail'],
  ])('%s against f16, of the model’s target %d: %s', async (file, accuracyTargetBp, answer) => {
    const world = await RolloutWorld.open()
    const model = await world.stores.rows.get('model', [atlas])
    if (model) await world.stores.rows.update('model', model, { accuracyTargetBp }, world.by('ada'))
    await world.report(v1, golden('atlas-2.f16'))
    await world.report(v2, golden(file))
    const accuracy = await ask(world, 'accuracy')
    expect(accuracy).toMatchObject({ answer, version: v2, reference: v1, environment: 'production', mode: 'pause', window: null })
    expect(wordsOf(accuracy)).toMatch(/items lost and \d+ gained, p /)
  })

  it('compares with the version it was made of, where it names one', async () => {
    const world = await RolloutWorld.open()
    const [large, small] = ['atlas-2-f16', 'atlas-2-small'] as const as unknown as readonly [VersionId, VersionId]
    await world.stores.make('version', versionDraft(large))
    await world.stores.make('version', versionDraft(small, { parent: large }))
    await world.report(v1, golden('atlas-1.q8_0'))
    await world.report(large, golden('atlas-2.f16'))
    await world.report(small, golden('atlas-2.q2_k'))
    // Better than what is stable, and worse than what it was made of.
    expect(await ask(world, 'accuracy', { to: small })).toMatchObject({ answer: 'fail' })
    expect(await ask(world, 'accuracy', { to: large })).toMatchObject({ answer: 'pass' })
  })

  it.each([
    ['without a report of its own', [v1], 'run isochrone eval atlas-2'],
    ['without one of the reference', [v2], 'run isochrone eval atlas-1 with the same set'],
  ])('%s it has no data, and says what to do', async (_, versions, words) => {
    const world = await RolloutWorld.open()
    for (const version of versions) await world.report(version, golden('atlas-2.f16'))
    const accuracy = await ask(world, 'accuracy')
    expect(accuracy?.answer).toBe('no_data')
    expect(wordsOf(accuracy)).toContain(words)
  })

  it('reports of other settings are not compared as well as it goes: no data, with the field', async () => {
    const world = await RolloutWorld.open()
    const report = golden('atlas-2.f16')
    await world.report(v1, report)
    await world.report(v2, { ...report, template: report.set.digest })
    const accuracy = await ask(world, 'accuracy')
    expect(accuracy?.answer).toBe('no_data')
    expect(wordsOf(accuracy)).toContain('cannot be compared: template')
  })

  it('compares on the set that the version was evaluated on last, whatever the reference was evaluated on since', async () => {
    const world = await RolloutWorld.open()
    const report = golden('atlas-2.f16')
    await world.report(v1, report)
    await world.report(v1, { ...report, set: { ...report.set, digest: report.template } })
    await world.report(v2, golden('atlas-2.q8_0'))
    expect(await ask(world, 'accuracy')).toMatchObject({ answer: 'pass' })
    await world.report(v2, { ...report, set: { ...report.set, digest: report.version.digest } })
    expect(wordsOf(await ask(world, 'accuracy'))).toContain('cannot be compared: set')
  })

  it('a report that lacks items is no data', async () => {
    const world = await RolloutWorld.open()
    const report = golden('atlas-2.f16')
    await world.report(v1, report)
    await world.report(v2, { ...report, results: report.results.slice(1) })
    const accuracy = await ask(world, 'accuracy')
    expect(wordsOf(accuracy)).toBe('no_data: the measured report has 999 of 1000 items, and all are needed')
  })
})

describe('load', () => {
  const digest = (letter: string): string => `sha256:${letter.repeat(64)}`
  const run = (environment: Environment, ttftMs: number, more: Partial<LoadRunReport> = {}): LoadRunReport => ({
    format: loadRunFormat,
    versionDigest: digest('a'),
    environment,
    traceDigest: digest('b'),
    requestsPerS: 30,
    durationMs: 10_000,
    // A spread, so that an interval is not a point.
    samples: Array.from({ length: 300 }, (_, number) => ({
      lateMs: 0,
      outcome: 'good' as const,
      ttftMs: ttftMs + (number % 20),
      tpotMs: 10,
    })),
    ...more,
  })
  const open = async (runs: readonly LoadRunReport[], objectives: object = { ttftP95MsMax: 300, tpotP95MsMax: 50, operatingPerS: 30 }) => {
    const world = await RolloutWorld.open()
    const model = await world.stores.rows.get('model', [atlas])
    if (model) await world.stores.rows.update('model', model, objectives, world.by('ada'))
    for (const [number, each] of runs.entries()) {
      const text = JSON.stringify(each)
      expect(readLoadRun(text)).toMatchObject({ ok: true })
      const { environment, requestsPerS, samples } = each
      const row = { id: `run ${number}`, version: v2, environment: environment as Environment, requestsPerS, samples: samples.length }
      const added = await world.stores.loadRuns.add({ ...row, actor: 'ada', createdAtMs: world.nowMs, text }, world.by('ada'))
      if (!added.ok) throw new Error(JSON.stringify(added.error))
    }
    return world
  }

  it.each<readonly [string, readonly LoadRunReport[], Environment, string, string]>([
    ['no run', [], 'production', 'no_data', 'run isochrone load atlas-2'],
    ['a run elsewhere alone', [run('staging', 100)], 'production', 'no_data', 'no load run of "atlas-2" in production'],
    ['within the objective, and alike', [run('staging', 100), run('production', 105)], 'production', 'pass', ''],
    ['no run in staging to compare with', [run('production', 100)], 'production', 'no_data', 'the other environment'],
    ['outside staging nothing is compared', [run('staging', 100)], 'staging', 'pass', ''],
    ['within the objective, and far from staging', [run('staging', 100), run('production', 200)], 'production', 'fail', '10 % allowed'],
    ['alike, and over the objective', [run('staging', 400), run('production', 400)], 'production', 'fail', 'objective of 300'],
    [
      'of another load',
      [run('staging', 100, { traceDigest: digest('c') }), run('production', 100)],
      'production',
      'no_data',
      'cannot be compared: traceDigest',
    ],
    [
      'the newest run counts',
      [run('staging', 400), run('staging', 100), run('production', 400), run('production', 100)],
      'production',
      'pass',
      '',
    ],
  ])('%s', async (_, runs, environment, answer, words) => {
    const load = await ask(await open(runs), 'load', { environment })
    expect(load?.answer).toBe(answer)
    expect(wordsOf(load)).toContain(words)
  })

  it('of a model without an objective, staging and production must be alike, and elsewhere there is nothing to judge by', async () => {
    const none = { ttftP95MsMax: null, tpotP95MsMax: null, operatingPerS: 30 }
    const world = await open([run('staging', 100), run('production', 100)], none)
    expect((await ask(world, 'load'))?.answer).toBe('pass')
    expect((await ask(world, 'load', { environment: 'staging' }))?.answer).toBe('no_data')
  })
})

describe('readiness', () => {
  it('of a version that stands nowhere there is no data', async () => {
    const world = await RolloutWorld.open()
    const readiness = await ask(world, 'readiness')
    expect(readiness?.answer).toBe('no_data')
    expect(wordsOf(readiness)).toContain('has no endpoint')
  })

  it('of endpoints that have answered, with room, it passes', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start()
    await world.untilIn(id, 'shifting')
    const rollout: Rollout = { ...(await world.rollout(id)), gates: [{ gate: 'readiness', mode: 'pause' }] }
    const { readiness } = await askOf(world, rollout)
    expect(wordsOf(readiness)).toMatch(/^pass: 3 of 3 endpoints have it loaded; pass: 3 of 3 .*; pass: room for /)
  })
})
