// A command line run in this process against a scripted core or edge over real HTTP: what is printed is caught, and time is held.

import { Writable } from 'node:stream'
import { run } from '../../../cli/commands/program.ts'
import type { World } from '../../../cli/api/world.ts'
import { serve, type LocalServer, type Recording } from '../../support/http-server.ts'

export type Told = { readonly exitCode: number; readonly out: string; readonly err: string; readonly sleptMs: number }

export const startMs = Date.parse('2026-11-26T08:00:00Z')

class Collected extends Writable {
  text = ''
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
}

type Given = { readonly env?: Readonly<Record<string, string>>; readonly workingFolder?: string }

/** Runs one command line. A sleep takes no time and moves the clock. */
export async function cli(argv: readonly string[], { env = {}, workingFolder = '/' }: Given = {}): Promise<Told> {
  const [out, err] = [new Collected(), new Collected()]
  let nowMs = startMs
  const world: World = {
    env,
    workingFolder,
    out,
    err,
    clock: { nowMs: () => nowMs },
    timer: {
      sleep: async (forMs) => {
        nowMs += forMs
        await new Promise((resolve) => setImmediate(resolve))
      },
    },
    steadyMs: () => nowMs,
  }
  const exitCode = await run(argv, world)
  return { exitCode, out: out.text, err: err.text, sleptMs: nowMs - startMs }
}

/** `status` 0: the connection breaks. */
export type Said = {
  readonly status?: number
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly raw?: string
}

/** Answers each call as `play` says; `undefined` is core's own 404. */
export const scripted = (play: (asked: Recording, call: number) => Said | undefined): Promise<LocalServer> => {
  let calls = 0
  return serve((asked, response) => {
    const said = play(asked, calls++) ?? { status: 404, body: problem('not_found', 404) }
    if (said.status === 0) return void response.destroy()
    response.writeHead(said.status ?? 200, { 'content-type': 'application/json', ...said.headers })
    return void response.end(said.raw ?? JSON.stringify(said.body))
  })
}

/** A problem document as core writes it. */
export const problem = (code: string, status: number, more: object = {}): object => ({
  type: `/problems/${code}`,
  title: code.replaceAll('_', ' '),
  status,
  detail: `It is ${code}.`,
  instance: 'request-1',
  code,
  ...more,
})

/** The options by which a command finds a server. */
export const at = ({ url }: LocalServer): readonly string[] => ['--core-url', url, '--token', 'operator-token']

const transition = (generation: number, from: string, to: string) => ({
  generation,
  atMs: startMs + generation * 1_000,
  actor: 'controller',
  input: 'settled',
  from,
  to,
  reason: '',
  detail: `into ${to}`,
})

/** A rollout that has gone through these phases, the last of them now. */
export function rolloutOf(phases: readonly string[], more: object = {}): Record<string, unknown> {
  const transitions = phases.slice(1).map((to, index) => transition(index + 2, phases[index] ?? '', to))
  return {
    id: 'r-1',
    environment: 'staging',
    model: 'atlas',
    from: 'atlas-1',
    to: 'atlas-2',
    steps: [
      { kind: 'weight', weightBp: 500, bakeMs: 900_000, minRequests: 100, proof: false },
      { kind: 'approval' },
      { kind: 'weight', weightBp: 10_000, bakeMs: 1_800_000, minRequests: 100, proof: false },
    ],
    gates: [{ gate: 'accuracy', mode: 'abort' }],
    phase: phases.at(-1),
    generation: phases.length,
    stepIndex: 0,
    weightBp: 500,
    shadowBp: 0,
    createdBy: 'operator:ann',
    fourEyes: false,
    enteredAtMs: startMs,
    deadlineMs: startMs + 600_000,
    bakeEndsAtMs: null,
    stableHeldUntilMs: null,
    pause: null,
    retryOf: null,
    rollbackOf: null,
    successor: null,
    last: transitions.at(-1) ?? null,
    transitions,
    ...more,
  }
}
