// The real program as a process: its exit code, what goes to which stream, and that it ends.

import { spawn } from 'node:child_process'
import path from 'node:path'
import { afterEach, expect, it } from 'vitest'
import type { LocalServer } from '../../support/http-server.ts'
import { at, rolloutOf, scripted } from './support.ts'

let core: LocalServer | null = null
afterEach(() => core?.close())

const main = path.resolve(import.meta.dirname, '../../../cli/main.ts')

type Ended = { readonly code: number | null; readonly out: string; readonly err: string }

function program(argv: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const { promise, resolve } = Promise.withResolvers<Ended>()
  child.once('close', (code) => resolve({ code, out, err }))
  return promise
}

it.each([
  [['promoting', 'succeeded'], 0],
  [['aborting', 'rolled_back'], 3],
])('a wait that ends with %j exits with %i', async (phases, code) => {
  core = await scripted((_, call) => ({ body: rolloutOf(call === 0 ? phases.slice(0, 1) : phases) }))
  const ended = await program(['rollout', 'status', 'r-1', '--wait', ...at(core)])
  expect(ended.code).toBe(code)
  expect(ended.out).toContain(`-> ${phases[1]}`)
})

it.each([
  [['rollout', 'status', 'r-1', '--wait', '--timeout', '1ms'], 4],
  [['rollout', 'nothing'], 2],
])('%j exits with %i', async (argv, code) => {
  core = await scripted(() => ({ body: rolloutOf(['warming']) }))
  expect((await program([...argv, ...at(core)])).code).toBe(code)
})

it('core that is away exits with 1, and says so on stderr alone', async () => {
  const ended = await program(['version', 'list', '--core-url', 'http://127.0.0.1:1', '--token', 'x'])
  expect(ended).toMatchObject({ code: 1, out: '' })
  expect(ended.err).toContain('isochrone: core at http://127.0.0.1:1 gave no answer')
  expect(ended.err).not.toContain('    at ')
})
