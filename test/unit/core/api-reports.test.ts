// Reports and load runs over the admin API: what is kept, what is refused, and real reports laid side by side.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { scoresOf } from '../../../core/api/reports.ts'
import { sha256Hex } from '../../../shared/hash.ts'
import { limits } from '../../../shared/limits.ts'
import { readReport, writeReport, type Report } from '../../../shared/wire/report.ts'
import { digestOf, furnished, nowMs, type AdminWorld, type Json } from '../../support/admin-world.ts'

const read = (text: string): Report => {
  const report = readReport(text)
  if (!report.ok) throw new Error(report.error.detail)
  return report.value
}
const golden = (name: string): Report => read(readFileSync(path.join(import.meta.dirname, `../../golden/reports/${name}.json`), 'utf8'))

/** A real report, as if the version here had answered. */
const reportOf = (name: string, id: string, digit: string, more: Partial<Report> = {}): string =>
  writeReport({ ...golden(name), version: { id, digest: digestOf(digit) }, ...more })
const f16 = reportOf('atlas-2.f16', 'atlas-1', '1')
const q4 = reportOf('atlas-2.q4_0', 'atlas-2', '2')
const q2 = reportOf('atlas-2.q2_k', 'atlas-3', '3')

async function stored(): Promise<AdminWorld & { readonly ids: { readonly f16: string; readonly q4: string; readonly q2: string } }> {
  const world = await furnished()
  const keep = async (text: string) => String((await world.must('POST', '/reports?environment=staging', text)).body['id'])
  return { ...world, ids: { f16: await keep(f16), q4: await keep(q4), q2: await keep(q2) } }
}

describe('handing a report in', () => {
  it('keeps it as it came, under its digest, with its scores', async () => {
    const { must, stores, nudges } = await furnished()
    const before = nudges()
    const told = await must('POST', '/reports?environment=staging', q4, { 'isochrone-actor': 'ann' })
    const id = await sha256Hex(q4)
    expect(told.status).toBe(201)
    expect(told.headers.get('location')).toBe(`/admin/v1/reports/${id}`)
    expect(told.body).toEqual({
      seq: 1,
      id,
      version: 'atlas-2',
      environment: 'staging',
      setName: golden('atlas-2.q4_0').set.name,
      setDigest: golden('atlas-2.q4_0').set.digest,
      items: 1_000,
      answered: 1_000,
      scores: { [golden('atlas-2.q4_0').metrics[0]?.name ?? '']: 0.907 },
      actor: 'operator:ann',
      createdAtMs: nowMs,
    })
    expect((await stores.reports.get(id))?.text).toBe(q4)
    expect(nudges()).toBe(before + 1)
    const shown = await must('GET', `/reports/${id}`)
    expect(shown.body).toMatchObject({ id, report: { version: { id: 'atlas-2' } } })
    expect(shown.body).not.toHaveProperty('text')
  })

  it('again is the same row', async () => {
    const { must } = await furnished()
    const first = await must('POST', '/reports?environment=staging', q4)
    expect((await must('POST', '/reports?environment=staging', q4)).body).toEqual(first.body)
    expect((await must('GET', '/reports')).body).toMatchObject({ items: [first.body] })
  })

  it.each<readonly [string, string, string, number, string, string | undefined]>([
    ['no environment', '/reports', q4, 422, 'invalid_field', '?environment'],
    ['an unknown environment', '/reports?environment=test', q4, 422, 'invalid_field', '?environment'],
    ['an unknown parameter', '/reports?environment=staging&x=1', q4, 422, 'invalid_field', '?x'],
    ['no JSON', '/reports?environment=staging', '{', 422, 'broken_report', '#'],
    ['no report', '/reports?environment=staging', '{"format":2}', 422, 'broken_report', '#/format'],
    [
      'an item that is broken',
      '/reports?environment=staging',
      q4.replace(/"tokens":\d+/, '"tokens":-1'),
      422,
      'broken_report',
      '#/results/0/tokens',
    ],
    [
      'a version that is not there',
      '/reports?environment=staging',
      reportOf('atlas-2.q4_0', 'none', '2'),
      422,
      'missing_reference',
      '#/version/id',
    ],
    [
      'other weights under its name',
      '/reports?environment=staging',
      reportOf('atlas-2.q4_0', 'atlas-2', '8'),
      422,
      'invalid_field',
      '#/version/digest',
    ],
    ['a text that is too long', '/reports?environment=staging', ' '.repeat(limits.reportCharsMax + 1), 413, 'body_too_large', undefined],
  ])('refuses %s', async (_, at, text, status, code, pointer) => {
    const { ask, must } = await furnished()
    expect((await ask('POST', at, text)).body).toMatchObject({ status, code, ...(pointer !== undefined && { pointer }) })
    expect((await must('GET', '/reports')).body).toMatchObject({ items: [] })
  })

  it('takes a report larger than an ordinary body', async () => {
    const { must } = await furnished()
    const many = read(q4)
    const results = Array.from({ length: 20_000 }, (_, index) => ({ id: `item-${index}`.padEnd(40, '-'), scores: [1], tokens: 20 }))
    const text = writeReport({ ...many, set: { ...many.set, items: 20_000 }, metrics: many.metrics.slice(0, 1), results })
    expect(text.length).toBeGreaterThan(limits.adminBodyBytesMax)
    expect((await must('POST', '/reports?environment=staging', text)).body).toMatchObject({ answered: 20_000 })
  })
})

it('scores are means over what was answered, and none without an answer', () => {
  const report = read(q4)
  const results = [0.1, 0.2, 0.3].map((score, index) => ({ id: String(index), scores: [score, 100], tokens: 1 }))
  const two = { ...report, metrics: [report.metrics[0]!, { name: 'other', better: 'lower' as const, top: 100 }], results }
  expect(scoresOf(two)).toEqual({ [report.metrics[0]!.name]: 0.2, other: 100 })
  expect(scoresOf({ ...two, results: [] })).toEqual({})
})

describe('listing', () => {
  it('is newest first, of all or of one version, page by page', async () => {
    const { must, ids } = await stored()
    const idsOf = (body: Json) => (body['items'] as readonly Json[]).map(({ id }) => id)
    const first = await must('GET', '/reports?limit=2')
    expect(idsOf(first.body)).toEqual([ids.q2, ids.q4])
    const second = await must('GET', `/reports?limit=2&cursor=${String(first.body['nextCursor'])}`)
    expect([idsOf(second.body), second.body['nextCursor']]).toEqual([[ids.f16], null])
    expect(idsOf((await must('GET', '/reports?version=atlas-2')).body)).toEqual([ids.q4])
  })

  it('what is not there is not found, and nothing is changed or taken away', async () => {
    const { ask, ids } = await stored()
    expect((await ask('GET', '/reports/none')).status).toBe(404)
    expect((await ask('DELETE', `/reports/${ids.q4}`)).headers.get('allow')).toBe('GET')
    expect((await ask('PUT', '/reports')).headers.get('allow')).toBe('GET, POST')
  })
})

describe('comparing', () => {
  it.each([
    ['q4', '', 9_900, 'pass'],
    ['q4', '&targetBp=9900', 9_900, 'pass'],
    ['q4', '&targetBp=9990', 9_990, 'fail'],
    ['q2', '', 9_900, 'fail'],
  ] as const)('%s against f16%s: %i, %s', async (measured, more, targetBp, answer) => {
    const { must, ids } = await stored()
    const { body } = await must('GET', `/reports/${ids[measured]}/compare?reference=${ids.f16}${more}`)
    expect(body).toMatchObject({
      measured: { id: ids[measured], scores: { accuracy: measured === 'q4' ? 0.907 : 0.866 } },
      reference: { id: ids.f16, scores: { accuracy: 0.915 } },
      targetBp,
      gate: 'accuracy',
      answer,
    })
    expect(body['paired']).toMatchObject([{ metric: 'accuracy', pairs: 1_000 }])
  })

  it('takes the target of the model where none is named', async () => {
    const { must, ids } = await stored()
    await must('PATCH', '/models/atlas', { accuracyTargetBp: 9_990 }, { 'if-match': '"1"' })
    expect((await must('GET', `/reports/${ids.q4}/compare?reference=${ids.f16}`)).body).toMatchObject({ targetBp: 9_990, answer: 'fail' })
  })

  it.each([
    ['', '?reference'],
    ['?reference=none', '?reference'],
    ['?reference=F16&targetBp=10001', '?targetBp'],
    ['?reference=F16&targetBp=0.99', '?targetBp'],
    ['?reference=F16&target=0.99', '?target'],
  ])('refuses %s at %s', async (query, pointer) => {
    const { ask, ids } = await stored()
    const told = await ask('GET', `/reports/${ids.q4}/compare${query.replace('F16', ids.f16)}`)
    expect(told.body).toMatchObject({ status: 422, code: 'invalid_field', pointer })
  })

  it('reports of other settings, or with items missing, are not compared', async () => {
    const { ask, must, ids } = await stored()
    const compared = async (text: string) => {
      const { body } = await must('POST', '/reports?environment=staging', text)
      return (await ask('GET', `/reports/${String(body['id'])}/compare?reference=${ids.f16}`)).body
    }
    expect(await compared(reportOf('atlas-2.q4_0', 'atlas-2', '2', { scorer: 'another-1' }))).toMatchObject({
      status: 422,
      code: 'not_comparable',
      field: 'scorer',
      measured: '"another-1"',
    })
    const part = golden('atlas-2.q4_0').results.slice(0, 990)
    expect(await compared(reportOf('atlas-2.q4_0', 'atlas-2', '2', { results: part }))).toMatchObject({
      code: 'not_comparable',
      field: 'results',
      measured: '990 of 1000 items',
      reference: '1000 of 1000 items',
    })
  })
})

describe('load runs', () => {
  const run = (more: Json = {}): string =>
    JSON.stringify({
      format: 1,
      versionDigest: digestOf('2'),
      environment: 'staging',
      traceDigest: digestOf('5'),
      requestsPerS: 4.5,
      durationMs: 60_000,
      samples: [{ lateMs: 0, outcome: 'good', ttftMs: 120, tpotMs: 9 }],
      ...more,
    })
  const at = '/load-runs?environment=staging&version=atlas-2'

  it('are kept as they came, and listed', async () => {
    const { must, stores } = await furnished()
    const told = await must('POST', at, run())
    expect(told.status).toBe(201)
    expect(told.body).toMatchObject({
      id: await sha256Hex(run()),
      version: 'atlas-2',
      environment: 'staging',
      requestsPerS: 4.5,
      samples: 1,
    })
    expect((await stores.loadRuns.latest('atlas-2' as never, 'staging'))?.text).toBe(run())
    expect((await must('GET', '/load-runs?version=atlas-2')).body).toEqual({ items: [told.body], nextCursor: null })
    expect((await must('GET', '/load-runs?version=atlas-1')).body).toMatchObject({ items: [] })
    expect((await must('POST', at, run())).body).toEqual(told.body)
  })

  it.each<readonly [string, string, string, string, string]>([
    ['without a version', '/load-runs?environment=staging', run(), 'invalid_field', '?version'],
    ['of no version', '/load-runs?environment=staging&version=none', run(), 'invalid_field', '?version'],
    ['without an environment', '/load-runs?version=atlas-2', run(), 'invalid_field', '?environment'],
    ['of another environment', '/load-runs?environment=production&version=atlas-2', run(), 'invalid_field', '?environment'],
    ['of other weights', at, run({ versionDigest: digestOf('1') }), 'invalid_field', '#/versionDigest'],
    ['that is none', at, '3', 'broken_report', '#'],
    [
      'with a broken sample',
      at,
      run({ samples: [{ lateMs: -1, outcome: 'good', ttftMs: 1, tpotMs: 1 }] }),
      'broken_report',
      '#/samples/0/lateMs',
    ],
  ])('one %s is refused', async (_, where, text, code, pointer) => {
    const { ask, must } = await furnished()
    expect((await ask('POST', where, text)).body).toMatchObject({ status: 422, code, pointer })
    expect((await must('GET', '/load-runs')).body).toMatchObject({ items: [] })
  })
})
