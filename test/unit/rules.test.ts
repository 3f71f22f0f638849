// The rules of the layout bite: each forbidden import, name and global is really refused by the lint that `npm test` runs.

import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = path.resolve(import.meta.dirname, '../..')
let folder = ''
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'isochrone-rules-'))
  copyFileSync(path.join(root, '.oxlintrc.json'), path.join(folder, '.oxlintrc.json'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What the lint says of one file with this content. */
function lint(file: string, source: string): string {
  const target = path.join(folder, file)
  mkdirSync(path.dirname(target), { recursive: true })
  writeFileSync(target, source)
  const run = spawnSync(path.join(root, 'node_modules/.bin/oxlint'), ['--format=unix', file], { cwd: folder, encoding: 'utf8' })
  rmSync(target)
  return run.stdout
}

describe('imports', () => {
  const use = (what: string) => `import { x } from '${what}'\nexport const y = x\n`

  it.each([
    ['edge/route/a.ts', '../../core/loop.ts'],
    ['edge/app.ts', '../core/loop.ts'],
    ['core/judge/a.ts', '../../edge/infer.ts'],
    ['core/app.ts', '../edge/infer.ts'],
    ['shared/a.ts', '../edge/infer.ts'],
    ['shared/wire/a.ts', '../../core/loop.ts'],
    ['edge/route/a.ts', '../call/call.ts'],
    ['edge/admit/a.ts', '../adapters/upstreams.ts'],
    ['edge/stream/a.ts', '../infer.ts'],
    ['edge/call/a.ts', '../deps.ts'],
    ['edge/infer.ts', './adapters/upstreams.ts'],
    ['edge/app.ts', './adapters/upstreams.ts'],
    ['edge/shadow/a.ts', '../call/call.ts'],
    ['edge/shadow/a.ts', '../record/trial.ts'],
    ['edge/record/a.ts', '../shadow/compare.ts'],
    ['edge/app.ts', './shadow/shadow.ts'],
    ['edge/http/a.ts', '../admit/admit.ts'],
    ['edge/ledger/a.ts', '../route/cell.ts'],
    ['edge/probe/a.ts', '../adapters/upstreams.ts'],
    ['edge/route/a.ts', '../probe/engines.ts'],
    ['core/probe/a.ts', '../publish/snapshot.ts'],
    ['core/publish/a.ts', '../adapters/catalogue.ts'],
    ['core/loop.ts', './adapters/catalogue.ts'],
    ['core/api/a.ts', '../adapters/catalogue.ts'],
    ['core/api/a.ts', '../loop.ts'],
    ['edge/ledger/a.ts', '../../core/loop.ts'],
    ['edge/http/a.ts', '../infer.ts'],
    ['edge/lane/a.ts', '../call/call.ts'],
    ['edge/app.ts', './admit/admit.ts'],
  ])('%s must not import %s', (file, target) => {
    expect(lint(file, use(target))).toContain('no-restricted-imports')
  })

  it.each([
    ['edge/route/a.ts', '../../shared/ids.ts'],
    ['edge/route/a.ts', '../facts.ts'],
    ['edge/admit/a.ts', '../http/body.ts'],
    ['edge/infer.ts', './call/call.ts'],
    ['edge/infer.ts', './shadow/shadow.ts'],
    ['edge/shadow/a.ts', '../lane/lane.ts'],
    ['edge/deps.ts', './adapters/upstreams.ts'],
    ['edge/ledger/a.ts', './pick.ts'],
    ['edge/lane/a.ts', '../http/body.ts'],
    ['edge/call/a.ts', '../lane/lane.ts'],
    ['edge/app.ts', './infer.ts'],
    ['core/loop.ts', './probe/probe.ts'],
    ['core/deps.ts', './adapters/catalogue.ts'],
  ])('%s may import %s', (file, target) => {
    expect(lint(file, use(target))).not.toContain('no-restricted-imports')
  })
})

describe('time, chance and the network are parameters', () => {
  it.each(['Date.now()', 'Math.random()', "fetch('http://x')", 'setTimeout(() => undefined, 1)', 'performance.now()'])('%s', (call) => {
    const source = `export const x = () => ${call}\n`
    expect(lint('edge/route/a.ts', source)).toContain('no-restricted')
    expect(lint('core/judge/a.ts', source)).toContain('no-restricted')
    expect(lint('shared/a.ts', source)).toContain('no-restricted')
    expect(lint('edge/adapters/a.ts', source)).not.toContain('no-restricted')
  })
})

it('`any` is no type here', () => {
  expect(lint('edge/a.ts', 'export const x = (y: any) => y\n')).toContain('no-explicit-any')
})

it('the present is a parameter too: no `new Date()` in a decision', () => {
  const found = spawnSync('git', ['grep', '-nE', '--untracked', 'new Date\\(\\)', '--', 'edge', 'core', 'shared'], {
    cwd: root,
    encoding: 'utf8',
  })
  expect(found.stdout.split('\n').filter((line) => line && !/\/adapters\//.test(line))).toEqual([])
})

it('no file is a catch-all', () => {
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' }).split('\n')
  expect(files.length).toBeGreaterThan(50)
  const named = files.filter((file) => /\.[mc]?[jt]s$/.test(file) && /(^|\/)(index|utils?|helpers?|misc|common)\.[mc]?[jt]s$/.test(file))
  expect(named).toEqual([])
})

it('no committed file names a registry or a path of somebody’s machine', () => {
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' }).split('\n')
  expect(files).toContain('package-lock.json')
  const found = spawnSync('git', ['grep', '-InE', '--untracked', '"resolved": "https?://|(^|[^a-z])/(home|Users)/[a-z]+/', '--', '.'], {
    cwd: root,
    encoding: 'utf8',
  })
  expect(found.stdout.split('\n').filter((line) => line && !line.startsWith('test/unit/rules.test.ts'))).toEqual([])
})
