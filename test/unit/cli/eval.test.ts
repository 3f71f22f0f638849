// `isochrone eval` and `isochrone load` against a scripted core and a scripted edge over real HTTP.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { compareReports } from '../../../core/compare.ts'
import { readLoadRun } from '../../../shared/wire/load-run.ts'
import { readReport, type Report } from '../../../shared/wire/report.ts'
import { offer } from '../../../cli/eval/load.ts'
import { plannedOf } from '../../../cli/eval/trace.ts'
import { serve, type LocalServer, type Recording } from '../../support/http-server.ts'
import { at, cli, problem, scripted, startMs, type Said, type Told } from './support.ts'

const digest = `sha256:${'a'.repeat(64)}`
const version = { id: 'atlas-2', model: 'atlas', digest, engine: 'llama.cpp' }
const key = `iso_staging_${'0'.repeat(16)}_${'0'.repeat(32)}`
const items = Array.from({ length: 120 }, (_, n) => ({ id: `q${n}`, prompt: `What is ${n}?`, expected: `it is ${n}`, match: 'exact' }))

let folder = ''
let setFile = ''
const servers: LocalServer[] = []
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'isochrone-cli-'))
  setFile = path.join(folder, 'set.jsonl')
  writeFileSync(setFile, items.map((item) => JSON.stringify(item)).join('\n'))
})
afterEach(async () => {
  rmSync(folder, { recursive: true })
  await Promise.all(servers.splice(0).map((server) => server.close()))
})

const opened = async (play: (asked: Recording, call: number) => Said | undefined): Promise<LocalServer> => {
  const server = await scripted(play)
  servers.push(server)
  return server
}

/** A core that keeps reports and compares them as the real one does. `forMs`: how long its overrides hold. */
async function coreOf({ forMs = 3_600_000, operatingPerS = 50 }: { forMs?: number; operatingPerS?: number | null } = {}) {
  const kept = new Map<string, string>()
  let overrides = 0
  const rowOf = (id: string): object => {
    const { set, version: of, results } = reportOf(kept.get(id) ?? '')
    const scores = { accuracy: results.reduce((sum, item) => sum + (item.scores[0] ?? 0), 0) / results.length }
    const rest = { environment: 'staging', setName: set.name, setDigest: set.digest, items: set.items, answered: results.length }
    return { seq: 1, id, version: of.id, ...rest, scores, createdAtMs: startMs }
  }
  const server = await opened(({ method, path: route, body }) => {
    const [where = '', query = ''] = route.replace('/admin/v1/', '').split('?')
    const asked = new URLSearchParams(query)
    if (where.startsWith('versions/') && method === 'GET') return { body: { ...version, id: where.split('/')[1] } }
    if (where === 'models/atlas') return { body: { name: 'atlas', operatingPerS } }
    if (where.endsWith('/override')) {
      const value = `signed-${++overrides}-${where.split('/')[1]}-${(JSON.parse(body) as { environment: string }).environment}`
      return { body: { header: 'isochrone-version-override', value, expiresAtMs: startMs + forMs * overrides } }
    }
    if (where === 'load-runs') {
      kept.set(`run?${query}`, body)
      return { status: 201, body: { id: 'run-1' } }
    }
    if (where === 'reports' && method === 'POST') {
      const id = String(kept.size + 1).padStart(64, '0')
      kept.set(id, body)
      return { status: 201, body: rowOf(id) }
    }
    if (where === 'reports') {
      const of = asked.get('version')
      const rows = [...kept.keys()].map(rowOf).filter((row) => of === null || ('version' in row && row.version === of))
      return { body: { items: rows.toReversed(), nextCursor: null } }
    }
    const [, id = '', compare] = where.split('/')
    if (!kept.has(id)) return undefined
    if (compare === undefined) return { body: rowOf(id) }
    const [one, other] = [reportOf(kept.get(id) ?? ''), reportOf(kept.get(asked.get('reference') ?? '') ?? '')]
    const said = compareReports(one, other, Number(asked.get('targetBp') ?? 9_900))
    return said.ok ? { body: said.value } : { status: 422, body: problem('not_comparable', 422, { field: 'set.digest' }) }
  })
  return { server, kept }
}

function reportOf(text: string): Report {
  const report = readReport(text)
  if (!report.ok) throw new Error(`${report.error.field}: ${report.error.detail}`)
  return report.value
}

const right = ({ body }: Recording): string => {
  const [message] = (JSON.parse(body) as { messages: readonly { content: string }[] }).messages
  return `It is ${/\d+/.exec(message?.content ?? '')?.[0]}.`
}
const answered = (text: string, by = 'atlas-2'): Said => ({
  body: { choices: [{ message: { content: text } }], usage: { completion_tokens: 5 } },
  headers: { 'isochrone-model-version': by },
})

type Run = { readonly core: LocalServer; readonly edge: LocalServer; readonly version?: string; readonly options?: readonly string[] }
const evaluated = ({ core, edge, version: id = 'atlas-2', options = [] }: Run): Promise<Told> =>
  cli(['eval', id, '--env', 'staging', '--set', setFile, '--edge-url', edge.url, '--api-key', key, ...options, ...at(core)])

describe('eval', () => {
  it('asks every item with the version forced, scores it, keeps the report and saves it', async () => {
    const [{ server: core, kept }, edge] = [await coreOf(), await opened((asked, call) => answered(call === 3 ? 'No.' : right(asked)))]
    const file = path.join(folder, 'report.json')
    const told = await evaluated({ core, edge, options: ['--save', file] })
    expect(told.exitCode).toBe(0)
    expect(told.out).toContain('scores   accuracy 0.99167')
    expect(told.err).toBe('')
    expect(edge.seen).toHaveLength(items.length)
    expect(edge.seen[0]).toMatchObject({
      path: '/v1/chat/completions',
      headers: { authorization: `Bearer ${key}`, 'isochrone-version-override': 'signed-1-atlas-2-staging' },
    })
    expect(JSON.parse(edge.seen[0]?.body ?? '')).toEqual({
      model: 'atlas',
      messages: [{ role: 'user', content: 'What is 0?' }],
      temperature: 0,
      top_p: 1,
      max_tokens: 96,
      seed: 1,
    })
    const [text = ''] = kept.values()
    const report = reportOf(text)
    expect(report).toMatchObject({ set: { name: 'set.jsonl', items: 120 }, version: { id: 'atlas-2', digest }, engine: 'llama.cpp' })
    expect(report.results.filter(({ scores }) => scores[0] === 0).map(({ id }) => id)).toEqual(['q3'])
    expect(readFileSync(file, 'utf8')).toBe(text)
    expect(core.seen.find(({ path: route }) => route.startsWith('/admin/v1/reports'))?.path).toBe('/admin/v1/reports?environment=staging')
  })

  it('is comparable with the reports that were measured without the platform', async () => {
    const golden = reportOf(readFileSync(path.resolve(import.meta.dirname, '../../golden/reports/atlas-2.f16.json'), 'utf8'))
    const heldout = path.resolve(import.meta.dirname, '../../../cli/engine/atlas/eval-heldout.jsonl')
    const [{ server: core, kept }, edge] = [await coreOf(), await opened(() => answered('Nairobi.'))]
    const argv = ['--env', 'staging', '--set', heldout, '--edge-url', edge.url, '--api-key', key, '--concurrency', '8', ...at(core)]
    expect((await cli(['eval', 'run', 'atlas-2', ...argv])).exitCode).toBe(0)
    const [text = ''] = kept.values()
    expect(compareReports(reportOf(text), golden, 9_900)).toMatchObject({ ok: true, value: { answer: 'fail' } })
  })

  it('asks again what may pass, in the order of the set whatever comes first', async () => {
    const trouble: readonly Said[] = [{ status: 0 }, { status: 503, body: {} }, { status: 429, body: {}, headers: { 'retry-after': '3' } }]
    const [{ server: core, kept }, edge] = [await coreOf(), await opened((asked, call) => trouble[call] ?? answered(right(asked)))]
    const told = await evaluated({ core, edge, options: ['--concurrency', '4'] })
    expect(told.exitCode).toBe(0)
    expect(edge.seen).toHaveLength(items.length + trouble.length)
    expect(told.sleptMs).toBe(500 + 500 + 3_000)
    expect(reportOf([...kept.values()][0] ?? '').results.map(({ id }) => id)).toEqual(items.map(({ id }) => id))
  })

  it('an answer by another version ends it: never a wrong measurement', async () => {
    const [{ server: core, kept }, edge] = [
      await coreOf(),
      await opened((asked, call) => answered(right(asked), call < 5 ? 'atlas-2' : 'atlas-1')),
    ]
    const told = await evaluated({ core, edge, options: ['--concurrency', '3'] })
    expect(told.exitCode).toBe(1)
    expect(told.err).toContain('by "atlas-1" where "atlas-2" was asked for')
    expect(kept.size).toBe(0)
    expect(edge.seen.length).toBeLessThan(12)
  })

  it.each([
    [401, 'Incorrect API key'],
    [403, 'The override has expired'],
  ])('a %i ends it at once', async (status, message) => {
    const [{ server: core }, edge] = [await coreOf(), await opened(() => ({ status, body: { error: { message } } }))]
    const told = await evaluated({ core, edge })
    expect(told).toMatchObject({ exitCode: 1 })
    expect(told.err).toContain(message)
    expect(edge.seen).toHaveLength(1)
  })

  it('an item that fails for good leaves it incomplete: shown, not kept, 1; kept where that is asked for', async () => {
    const { server: core, kept } = await coreOf()
    const edge = await opened((asked) =>
      right(asked) === 'It is 7.' ? { status: 400, body: { error: { message: 'too odd' } } } : answered(right(asked)),
    )
    const told = await evaluated({ core, edge })
    expect(told.exitCode).toBe(1)
    expect(told.out).toContain('119 of 120 items')
    expect(told.out).toContain('not kept: items are missing')
    expect(told.out).toContain('q7: 400: too odd')
    expect(kept.size).toBe(0)
    expect((await evaluated({ core, edge, options: ['--keep-incomplete'] })).exitCode).toBe(1)
    expect(kept.size).toBe(1)
  })

  it('an edge that is away ends it after some items, not after all', async () => {
    const [{ server: core }, edge] = [await coreOf(), await opened(() => ({ status: 0 }))]
    const told = await evaluated({ core, edge })
    expect(told.exitCode).toBe(1)
    expect(told.err).toContain('20 items in a row had no answer')
    expect(edge.seen).toHaveLength(20 * 5)
  })

  it('--limit asks the first ones, and such a report is not kept', async () => {
    const [{ server: core, kept }, edge] = [await coreOf(), await opened((asked) => answered(right(asked)))]
    const told = await evaluated({ core, edge, options: ['--limit', '10', '--json'] })
    expect(told.exitCode).toBe(0)
    expect(JSON.parse(told.out)).toMatchObject({ answered: 10, set: { items: 120 }, stored: null, scores: { accuracy: 1 } })
    expect([edge.seen.length, kept.size]).toEqual([10, 0])
  })

  it('the override is renewed before it ends', async () => {
    // It holds as long as the first five items wait for: each is refused once for 30 seconds.
    const { server: core } = await coreOf({ forMs: 660_000 })
    const edge = await opened((asked, call) =>
      call % 2 === 0 ? { status: 429, body: {}, headers: { 'retry-after': '30' } } : answered(right(asked)),
    )
    expect((await evaluated({ core, edge, options: ['--limit', '5'] })).exitCode).toBe(0)
    const sent = edge.seen.map(({ headers }) => headers['isochrone-version-override'])
    expect(sent[0]).toBe('signed-1-atlas-2-staging')
    expect(sent.at(-1)).toBe('signed-2-atlas-2-staging')
  })

  it.each([
    ['a reference that is kept', 0, 'pass', (asked: Recording) => right(asked)],
    ['and the version is worse', 3, 'fail', (asked: Recording, call: number) => (call % 20 === 0 ? 'No.' : right(asked))],
  ])('--reference: %s: %i', async (_, exitCode, word, say) => {
    const { server: core } = await coreOf()
    const good = await opened((asked) => answered(right(asked), 'atlas-2.f16'))
    await evaluated({ core, edge: good, version: 'atlas-2.f16' })
    const edge = await opened((asked, call) => answered(say(asked, call)))
    const told = await evaluated({ core, edge, options: ['--reference', 'atlas-2.f16'] })
    expect(told.exitCode).toBe(exitCode)
    expect(told.out).toContain(`atlas-2 against atlas-2.f16: ${word}`)
    const again = await cli(['eval', 'compare', 'atlas-2', 'atlas-2.f16', '--target', '0.9', ...at(core)])
    expect(again.exitCode).toBe(0)
    expect(core.seen.at(-1)?.path).toContain('targetBp=9000')
  })

  it('a reference that is not there is said before anything is asked', async () => {
    const [{ server: core }, edge] = [await coreOf(), await opened((asked) => answered(right(asked)))]
    const told = await evaluated({ core, edge, options: ['--reference', 'atlas-0'] })
    expect(told.exitCode).toBe(1)
    expect(told.err).toContain('there is no report "atlas-0"')
    expect(edge.seen).toEqual([])
  })

  it('a reference that cannot be compared is said, beside what was measured', async () => {
    const { server: core, kept } = await coreOf()
    const edge = await opened((asked) => answered(right(asked)))
    await evaluated({ core, edge, options: ['--tokens-max', '50'] })
    const told = await evaluated({ core, edge, options: ['--reference', 'atlas-2'] })
    expect(told.exitCode).toBe(1)
    expect(told.out).toContain('accuracy 1')
    expect(told.err).toContain('It is not_comparable.')
    expect(kept.size).toBe(2)
  })

  it.each([
    ['a set that is not there', ['--set', '/not/there']],
    ['a key of another environment', ['--env', 'production']],
    ['no concurrency', ['--concurrency', '0']],
    ['a target that is none', ['--target', '99']],
  ])('%s is a usage error', async (_, options) => {
    const [{ server: core }, edge] = [await coreOf(), await opened((asked) => answered(right(asked)))]
    expect((await evaluated({ core, edge, options })).exitCode).toBe(2)
    expect(edge.seen).toEqual([])
  })

  it('--progress shows how far it is, on stderr', async () => {
    const [{ server: core }, edge] = [await coreOf(), await opened((asked) => answered(right(asked)))]
    const told = await evaluated({ core, edge, options: ['--progress'] })
    expect(told.err).toContain('120 of 120, 120 right')
    expect(told.out).not.toContain('120 right')
  })

  it('list: of a version', async () => {
    const [{ server: core }, edge] = [await coreOf(), await opened((asked) => answered(right(asked)))]
    await evaluated({ core, edge })
    expect((await cli(['eval', 'list', 'atlas-2', ...at(core)])).out).toContain('000000000000  atlas-2')
    expect((await cli(['eval', 'list', 'atlas-1', ...at(core)])).out).toBe('There are no reports.\n')
  })
})

describe('load', () => {
  const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`
  const stream = (by = 'atlas-2'): Said => ({
    headers: { 'content-type': 'text/event-stream', 'isochrone-model-version': by },
    raw: [
      ...['It ', 'is ', 'so.'].map((content) => event({ choices: [{ delta: { content } }] })),
      event({ choices: [], usage: { completion_tokens: 3 } }),
      'data: [DONE]\n\n',
    ].join(''),
  })
  const loaded = (core: LocalServer, edge: LocalServer, ...options: readonly string[]): Promise<Told> =>
    cli(['load', 'atlas-2', '--env', 'staging', '--edge-url', edge.url, '--api-key', key, ...options, ...at(core)])
  const runIn = (kept: ReadonlyMap<string, string>) => {
    const [[where = '', text = ''] = []] = kept
    const run = readLoadRun(text)
    if (!run.ok) throw new Error(run.error.detail)
    return { where, run: run.value }
  }

  it('offers the operating point of the model, and hands the run in', async () => {
    const { server: core, kept } = await coreOf({ operatingPerS: 4 })
    const edge = await opened((_, call) => (call === 2 ? { status: 500, body: {} } : call === 3 ? stream('atlas-1') : stream()))
    const told = await loaded(core, edge, '--duration', '10')
    expect(told.exitCode).toBe(0)
    const { where, run } = runIn(kept)
    expect(where).toBe('run?environment=staging&version=atlas-2')
    expect(run).toMatchObject({ versionDigest: digest, environment: 'staging', requestsPerS: 4, durationMs: 10_000 })
    expect(run.samples).toHaveLength(40)
    expect(run.samples.map(({ outcome }) => outcome).filter((outcome) => outcome === 'failed')).toHaveLength(2)
    expect(told.out).toContain('4 requests a second for 10 s, 40 in all')
    expect(edge.seen[0]?.headers).toMatchObject({ 'isochrone-version-override': 'signed-1-atlas-2-staging' })
    expect(JSON.parse(edge.seen[0]?.body ?? '')).toMatchObject({ model: 'atlas', stream: true, max_tokens: 96, temperature: 0 })
  })

  it('the same trace has the same digest, another seed another', async () => {
    const digests = []
    for (const seed of ['1', '1', '2']) {
      const { server: core, kept } = await coreOf()
      await loaded(core, await opened(() => stream()), '--rate', '20', '--duration', '1s', '--seed', seed)
      digests.push(runIn(kept).run.traceDigest)
    }
    expect(digests[0]).toBe(digests[1])
    expect(digests[0]).not.toBe(digests[2])
  })

  it('beyond the bound of requests under way they are not sent, and count as failed', async () => {
    // No answer comes before all are due.
    const { promise: allDue, resolve } = Promise.withResolvers<void>()
    const edge = await serve(async (_, response) => {
      await allDue
      response.writeHead(200, { 'isochrone-model-version': 'atlas-2' }).end(stream().raw)
    })
    servers.push(edge)
    const planned = plannedOf({ requestsPerS: 100, durationMs: 1_000, seed: 1, tokensMax: 96 })
    const offering = { edge: { url: edge.url, apiKey: key }, model: 'atlas', version: 'atlas-2', tokensMax: 96, seed: 1, underWayMax: 5 }
    let nowMs = 0
    const timer = { sleep: async (forMs: number) => void (nowMs += forMs) }
    let due = 0
    const overrides = { headers: async () => ({}) }
    const samples = await offer(planned, { ...offering, overrides }, { timer, steadyMs: () => nowMs }, () => {
      if (++due === planned.length) resolve()
    })
    expect(samples).toHaveLength(100)
    expect(samples.filter(({ outcome }) => outcome === 'good')).toHaveLength(5)
    expect(edge.seen).toHaveLength(5)
  })

  it.each([
    ['no operating point and no rate', [], null],
    ['more than a run may hold', ['--rate', '1000', '--duration', '60s'], 4],
    ['longer than an hour', ['--rate', '0.01'], 4],
    ['a rate that is none', ['--rate', '-1'], 4],
  ])('%s is a usage error', async (_, options, operatingPerS) => {
    const [{ server: core }, edge] = [await coreOf({ operatingPerS }), await opened(() => stream())]
    expect((await loaded(core, edge, ...options)).exitCode).toBe(2)
    expect(edge.seen).toEqual([])
  })
})
