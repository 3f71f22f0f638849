// `isochrone version` against a scripted core over real HTTP.

import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { LocalServer } from '../../support/http-server.ts'
import { at, cli, problem, scripted, startMs, type Said } from './support.ts'

let core: LocalServer | null = null
afterEach(() => core?.close())

/** Answers by method and path; anything else is not there. */
const opened = async (answers: Readonly<Record<string, Said>>): Promise<LocalServer> =>
  (core = await scripted(({ method, path: route }) => answers[`${method} ${route.replace('/admin/v1', '')}`]))
const bodyOf = (server: LocalServer, method: string): unknown =>
  JSON.parse(server.seen.find((each) => each.method === method)?.body ?? 'null')

const digest = `sha256:${'a'.repeat(64)}`
const version = {
  id: 'atlas-2',
  model: 'atlas',
  digest,
  engine: 'llama.cpp',
  flags: { ctx: 512 },
  quantisation: 'Q8_0',
  parent: 'atlas-2.f16',
}
const reportRow = {
  seq: 1,
  id: 'b'.repeat(64),
  version: 'atlas-2',
  environment: 'staging',
  setName: 'held-out',
  setDigest: digest,
  items: 1_000,
  answered: 1_000,
  scores: { accuracy: 0.914 },
  createdAtMs: startMs,
}
const page = (...items: readonly object[]): Said => ({ body: { items, nextCursor: null } })

it('list: all, or those of a model', async () => {
  const other = { ...version, id: 'other-1', model: 'other' }
  const server = await opened({ 'GET /versions?limit=200': page(version, other) })
  expect((await cli(['version', 'list', ...at(server)])).out).toMatchInlineSnapshot(`
    "VERSION  MODEL  ENGINE     QUANTISATION  PARENT       CREATED
    atlas-2  atlas  llama.cpp  Q8_0          atlas-2.f16  -
    other-1  other  llama.cpp  Q8_0          atlas-2.f16  -
    "
  `)
  const json = await cli(['version', 'list', '--model', 'other', '--json', ...at(server)])
  expect(JSON.parse(json.out)).toMatchObject([{ id: 'other-1' }])
})

it('show: the row, its approvals, deployments and reports', async () => {
  const approval = {
    environment: 'staging',
    version: 'atlas-2',
    approvedBy: 'operator:ann',
    expiresAtMs: startMs + 86_400_000,
    evidence: { note: 'as good', reports: ['b'], verdicts: [] },
  }
  const deployment = { target: 'fra-1', version: 'atlas-2', isWanted: true, state: 'ready', detail: 'loaded', endpoint: 'fra-1.atlas-2' }
  const server = await opened({
    'GET /versions/atlas-2': { body: version },
    'GET /approvals/staging/atlas-2': { body: approval },
    'GET /deployments?version=atlas-2&limit=200': page(deployment),
    'GET /reports?version=atlas-2&limit=20': page(reportRow),
  })
  const told = await cli(['version', 'show', 'atlas-2', ...at(server)])
  expect(told.exitCode).toBe(0)
  expect(told.out).toContain('flags         {"ctx":512}')
  expect(told.out).toContain('atlas-2 is approved for staging by operator:ann, it ends in 24 h; on b; "as good"')
  expect(told.out).toContain('fra-1   ready  yes     fra-1.atlas-2  loaded')
  expect(told.out).toContain('bbbbbbbbbbbb  atlas-2  staging      held-out  1000   accuracy 0.914')
})

describe('create', () => {
  it('takes the digest of a file', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'isochrone-cli-'))
    const file = path.join(folder, 'weights.gguf')
    writeFileSync(file, 'GGUF')
    const server = await opened({ 'POST /versions': { status: 201, body: version } })
    const options = [
      '--model',
      'atlas',
      '--engine',
      'llama.cpp',
      '--flag',
      'ctx=512',
      '--flag',
      'mlock=true',
      '--flag',
      'kv=q8_0',
      '--bits',
      '8.5',
    ]
    const told = await cli(['version', 'create', 'atlas-2', ...options, '--file', file, '--reason', 'new', ...at(server)])
    rmSync(folder, { recursive: true })
    expect(told.exitCode).toBe(0)
    expect(bodyOf(server, 'POST')).toEqual({
      id: 'atlas-2',
      digest: `sha256:${createHash('sha256').update('GGUF').digest('hex')}`,
      model: 'atlas',
      engine: 'llama.cpp',
      bits: 8.5,
      flags: { ctx: 512, mlock: true, kv: 'q8_0' },
    })
    expect(server.seen[0]?.headers['isochrone-reason']).toBe('new')
  })

  it.each([
    ['neither digest nor file', []],
    ['both', ['--digest', digest, '--file', 'x']],
    ['a file that is not there', ['--file', '/not/there']],
    ['a flag without a value', ['--digest', digest, '--flag', 'ctx']],
    ['bits that are none', ['--digest', digest, '--bits', '0']],
  ])('%s is a usage error', async (_, options) => {
    const server = await opened({})
    const told = await cli(['version', 'create', 'x', '--model', 'm', '--engine', 'e', ...options, ...at(server)])
    expect(told.exitCode).toBe(2)
    expect(server.seen).toEqual([])
  })

  it('one that is there is a conflict', async () => {
    const server = await opened({ 'POST /versions': { status: 409, body: problem('already_exists', 409) } })
    const told = await cli(['version', 'create', 'x', '--model', 'm', '--engine', 'e', '--digest', digest, ...at(server)])
    expect(told.exitCode).toBe(5)
  })
})

it('diff: from the first to the second', async () => {
  const differences = [{ field: 'quantisation', from: 'Q8_0', to: null }]
  const server = await opened({ 'GET /versions/b/diff?against=a': { body: { from: 'a', to: 'b', differences } } })
  expect((await cli(['version', 'diff', 'a', 'b', ...at(server)])).out).toBe('FIELD         a     b\nquantisation  Q8_0  -\n')
})

describe('approve', () => {
  const approval = { environment: 'staging', version: 'atlas-2', approvedBy: 'operator', expiresAtMs: null, evidence: {} }
  const options = ['version', 'approve', 'atlas-2', '--env', 'staging', '--expires', '30d', '--note', 'good']

  it('says it for the first time', async () => {
    const server = await opened({ 'POST /approvals': { status: 201, body: approval } })
    expect((await cli([...options, ...at(server)])).exitCode).toBe(0)
    expect(bodyOf(server, 'POST')).toEqual({
      environment: 'staging',
      version: 'atlas-2',
      evidence: { note: 'good', reports: [], verdicts: [] },
      expiresAtMs: startMs + 30 * 86_400_000,
    })
  })

  it('says it anew, for the row that it read', async () => {
    const row: Said = { body: approval, headers: { etag: '"3"' } }
    const server = await opened({
      'GET /approvals/staging/atlas-2': row,
      'PATCH /approvals/staging/atlas-2': row,
      'GET /reports?version=bbbbbbbb&limit=200': page(),
      'GET /reports?limit=200': page(reportRow),
    })
    expect((await cli([...options, '--evidence', 'bbbbbbbb', ...at(server)])).exitCode).toBe(0)
    expect(server.seen.find(({ method }) => method === 'PATCH')?.headers['if-match']).toBe('"3"')
    expect(bodyOf(server, 'PATCH')).toMatchObject({ evidence: { reports: ['b'.repeat(64)] } })
  })

  it('a time that is none is a usage error', async () => {
    const server = await opened({})
    expect((await cli(['version', 'approve', 'x', '--env', 'staging', '--expires', 'soon', ...at(server)])).exitCode).toBe(2)
  })
})

it.each(['deploy', 'undeploy'])('%s: at these targets, and shows where it stands', async (verb) => {
  const deployment = { target: 'fra-1', version: 'atlas-2', isWanted: verb === 'deploy', state: 'waiting', detail: '', endpoint: null }
  const server = await opened({
    [`POST /versions/atlas-2/${verb}`]: { body: { items: [deployment] } },
    'GET /deployments?version=atlas-2&limit=200': page(deployment),
  })
  const told = await cli(['version', verb, 'atlas-2', '--target', 'fra-1', '--target', 'fra-2', ...at(server)])
  expect(told.out).toContain('fra-1   waiting')
  expect(bodyOf(server, 'POST')).toEqual({ targets: ['fra-1', 'fra-2'], reason: `isochrone version ${verb}` })
})

it('override: a header as curl takes it', async () => {
  const row = { header: 'isochrone-version-override', value: 'v1.staging.atlas-2.1.00', expiresAtMs: 1 }
  const server = await opened({ 'POST /versions/atlas-2/override': { body: row } })
  const told = await cli(['version', 'override', 'atlas-2', '--env', 'staging', '--for', '10m', ...at(server)])
  expect(told.out).toBe('isochrone-version-override: v1.staging.atlas-2.1.00\n')
  expect(bodyOf(server, 'POST')).toEqual({ environment: 'staging', forMs: 600_000 })
})
