// The exit codes are a promise to scripts: what each refusal of core ends with.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LocalServer } from '../../support/http-server.ts'
import { exitCodes } from '../../../cli/api/exit.ts'
import { exitCodeOf, exitCodeOfFaults, readProblem } from '../../../cli/api/problem.ts'
import { at, cli, problem, rolloutOf, scripted, type Said } from './support.ts'

it('the codes are fixed', () => {
  expect(exitCodes).toEqual({ ok: 0, error: 1, usage: 2, ended: 3, timedOut: 4, conflict: 5 })
})

describe('by the refusal', () => {
  const faults = (...reasons: readonly string[]) => ({ faults: reasons.map((reason) => ({ reason, pointer: '#/to', detail: 'no' })) })
  it.each([
    ['operator_unknown', 401, {}, 1],
    ['not_found', 404, {}, 1],
    ['missing_reference', 422, {}, 1],
    ['invalid_field', 422, {}, 2],
    ['invalid_header', 400, {}, 2],
    ['already_exists', 409, {}, 5],
    ['rollout_active', 409, {}, 5],
    ['alias_moved', 409, {}, 5],
    ['in_use', 409, {}, 5],
    ['generation_mismatch', 412, {}, 5],
    ['rollout_refused', 409, { why: 'illegal_transition', allowed: ['abort'] }, 5],
    ['rollout_refused', 403, { why: 'scope_missing' }, 1],
    ['rollout_refused', 422, { why: 'reason_missing' }, 2],
    ['gate_failed', 409, { verdicts: [] }, 3],
    ['not_comparable', 422, {}, 1],
    ['controller_unreachable', 503, {}, 1],
    ['something_new', 418, {}, 1],
    ['plan_refused', 422, faults('steps_invalid'), 2],
    ['plan_refused', 422, faults('unknown_gate', 'capacity_missing'), 2],
    ['plan_refused', 422, faults('not_approved'), 1],
    ['plan_refused', 409, faults('stable_moved', 'steps_invalid'), 5],
  ])('%s %i %j: %i', (code, status, more, exitCode) => {
    const read = readProblem(problem(code, status, more))
    expect(read && exitCodeOf(read)).toBe(exitCode)
  })

  it('a plan without faults may start', () => expect(exitCodeOfFaults([])).toBe(0))
})

describe('on the command line', () => {
  let core: LocalServer
  let said: Said
  beforeAll(async () => (core = await scripted(() => said)))
  afterAll(() => core.close())

  it.each([
    ['no command', []],
    ['no such command', ['rollouts']],
    ['no such option', ['rollout', 'get', '--al']],
    ['an argument too many', ['version', 'show', 'a', 'b']],
    ['an argument too few', ['version', 'diff', 'a']],
    ['no reason', ['rollout', 'abort', 'r-1']],
    ['an empty reason', ['rollout', 'abort', 'r-1', '--reason', ' ']],
    ['a step that is none', ['rollout', 'plan', '-e', 'staging', '--model', 'atlas', '--to', 'x', '--step', 'weight=5']],
    ['a gate without a mode', ['rollout', 'plan', '-e', 'staging', '--model', 'atlas', '--to', 'x', '--gate', 'accuracy']],
    ['no such environment', ['version', 'approve', 'x', '--env', 'prod']],
    ['no model', ['rollout', 'plan', '-e', 'staging', '--to', 'x']],
    ['a timeout that is none', ['rollout', 'status', 'r-1', '--wait', '--timeout', '30']],
    ['a phase that is none', ['rollout', 'status', 'r-1', '--wait', '--until', 'done']],
    ['a watch of a list', ['rollout', 'get', '--watch']],
    ['a plan for one that is made', ['rollout', 'start', 'r-1', '--to', 'x', '--reason', 'y']],
    ['an approver of one step', ['rollout', 'promote', 'r-1', '--approver', 'bob', '--reason', 'y']],
    ['a generation that is none', ['rollout', 'abort', 'r-1', '--reason', 'y', '--if-generation', 'x']],
    ['an actor with a space', ['rollout', 'get', '--actor', 'a b']],
    ['steps twice', ['rollout', 'plan', '-e', 'staging', '--model', 'm', '--to', 'x', '--step', 'approval', '--steps', 'f']],
  ])('%s is a usage error, told in words and as JSON', async (_, argv) => {
    said = { body: rolloutOf(['draft']) }
    const [words, json] = [await cli([...argv, ...at(core)]), await cli([...argv, ...at(core), '--json'])]
    expect([words.exitCode, json.exitCode]).toEqual([2, 2])
    expect(words.err).not.toBe('')
    expect(JSON.parse(json.err)).toMatchObject({ exitCode: 2, error: { code: 'usage' } })
    expect(json.out).toBe('')
  })

  it('help and version are no errors', async () => {
    expect((await cli(['--help'])).exitCode).toBe(0)
    expect((await cli(['rollout', 'status', '--help'])).out).toContain('Example:')
    expect((await cli(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  const commands = [
    ...['list', 'show', 'create', 'diff', 'approve', 'deploy', 'undeploy', 'override'].map((name) => ['version', name]),
    ...['run', 'compare', 'list'].map((name) => ['eval', name]),
    ['load'],
    ...[
      'plan',
      'start',
      'get',
      'status',
      'submit',
      'approve',
      'reject',
      'pause',
      'resume',
      'promote',
      'abort',
      'retry',
      'rollback',
      'explain',
    ].map((name) => ['rollout', name]),
  ]
  it.each(commands)('%s %s explains itself with an example', async (...argv) => {
    const told = await cli([...argv, '--help'])
    expect(told).toMatchObject({ exitCode: 0, err: '' })
    expect(told.out).toMatch(/^Usage: isochrone /)
    expect(told.out).toMatch(/Example:\n {2}\$ .*isochrone /)
    // Options that all commands have are shown with each.
    expect(told.out).toContain('--core-url')
  })

  it('a refusal is told with its faults, and as it came with --json', async () => {
    const fault = { reason: 'steps_invalid', pointer: '#/steps/1/weightBp', detail: 'weights only rise' }
    said = { status: 422, body: problem('plan_refused', 422, { faults: [fault] }) }
    const argv = ['rollout', 'start', '-e', 'staging', '--model', 'atlas', '--to', 'atlas-2', '--reason', 'try', ...at(core)]
    const words = await cli(argv)
    expect(words.exitCode).toBe(2)
    expect(words.err).toContain('#/steps/1/weightBp  steps_invalid: weights only rise')
    const json = await cli([...argv, '--json'])
    expect(JSON.parse(json.err)).toEqual({ error: { ...(said.body as object), allowed: [], verdicts: [] }, exitCode: 2 })
  })

  it('an overtaken write is a conflict', async () => {
    said = { status: 412, body: problem('generation_mismatch', 412, { current: 7 }) }
    const told = await cli(['rollout', 'pause', 'r-1', '--reason', 'wait', '--if-generation', '6', ...at(core)])
    expect(told.exitCode).toBe(5)
    expect(core.seen.at(-1)).toMatchObject({ method: 'POST', path: '/admin/v1/rollouts/r-1/pause', headers: { 'if-match': '"6"' } })
  })

  it('core that is away is an error, after three tries of a read and one of a write', async () => {
    said = { status: 0 }
    core.seen.length = 0
    expect((await cli(['version', 'list', ...at(core)])).exitCode).toBe(1)
    expect(core.seen).toHaveLength(3)
    expect((await cli(['rollout', 'abort', 'r-1', '--reason', 'x', ...at(core)])).exitCode).toBe(1)
    expect(core.seen).toHaveLength(4)
  })

  it('what is no answer of core is said so', async () => {
    said = { raw: '<html>' }
    const told = await cli(['version', 'list', ...at(core)])
    expect(told).toMatchObject({ exitCode: 1 })
    expect(told.err).toContain('<html>')
    said = { body: { id: 'r-1' } }
    expect((await cli(['rollout', 'get', 'r-1', ...at(core)])).err).toContain("core's answer is no rollout")
  })
})
