// `isochrone rollout` against a scripted core over real HTTP: what is sent, what is shown, and how a wait ends.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { LocalServer } from '../../support/http-server.ts'
import { at, cli, problem, rolloutOf, scripted, startMs, type Said } from './support.ts'

let core: LocalServer | null = null
afterEach(() => core?.close())

const opened = async (play: Parameters<typeof scripted>[0]): Promise<LocalServer> => (core = await scripted(play))
const sent = (server: LocalServer): unknown => JSON.parse(server.seen.at(-1)?.body ?? 'null')

const plan = (more: object = {}) => ({
  from: 'atlas-1',
  to: 'atlas-2',
  differences: [{ field: 'flags.ctx', from: 512, to: 1024 }],
  steps: [{ kind: 'weight', weightBp: 500, bakeMs: 900_000, minRequests: 100, proof: false }],
  needs: { minimumMs: 900_000, samples: 130, steps: [{ index: 0, startsMs: 0, minimumMs: 900_000, samples: 130 }] },
  expectedMs: null,
  gates: [
    { gate: 'accuracy', mode: 'abort', live: false, result: 'pass', value: 0.914, reference: 0.915, threshold: 0.90585 },
    { gate: 'no_harm', mode: 'abort', live: true, result: 'no_data', value: null, reference: null, threshold: null },
  ],
  regions: [{ region: 'eu-west', demandPerS: 3.2, demandSlots: 2, neededSlots: 2.4, spareSlots: 16, weightBpMax: 10_000 }],
  weightBpMax: 10_000,
  refusals: [],
  ...more,
})

const making = ['--env', 'staging', '--model', 'atlas', '--to', 'atlas-2'] as const

describe('plan', () => {
  it('shows difference, steps, gates, time, samples and room, and moves nothing', async () => {
    const server = await opened(() => ({ body: plan() }))
    const told = await cli(['rollout', 'plan', ...making, '--step', 'weight=5%,bake=15m,min=100', '--gate', 'load=observe', ...at(server)])
    expect(told.exitCode).toBe(0)
    expect(told.out).toMatchInlineSnapshot(`
      "atlas-1 -> atlas-2

      FIELD      atlas-1  atlas-2
      flags.ctx  512      1024

      STEP  WHAT                          FROM   SAMPLES
      0     5 % for 15 min, 100 requests  +0 ms  130

      GATE      MODE   NOW             VALUE  REFERENCE  THRESHOLD
      accuracy  abort  pass            0.914  0.915      0.90585
      no_harm   abort  by its traffic  -      -          -

      REGION   REQUESTS/S  SLOTS NEEDED  SLOTS FREE  ROOM
      eu-west  3.2         2.4           16          100 %

      at least         15 min
      at this traffic  not known: traffic is unknown, or would never suffice
      samples          130 requests of the canary
      room             up to 100 %

      It may start.
      "
    `)
    expect(server.seen).toHaveLength(1)
    expect(server.seen[0]).toMatchObject({ method: 'POST', path: '/admin/v1/rollouts?dry_run=true' })
    expect(sent(server)).toEqual({
      environment: 'staging',
      model: 'atlas',
      to: 'atlas-2',
      steps: [{ kind: 'weight', weightBp: 500, bakeMs: 900_000, minRequests: 100 }],
      gates: [{ gate: 'load', mode: 'observe' }],
      start: false,
      reason: 'isochrone rollout plan',
    })
  })

  it.each([
    ['capacity_missing', 1],
    ['unknown_gate', 2],
    ['rollout_active', 5],
  ])('with %s it is shown, and ends with %i', async (reason, exitCode) => {
    const refusals = [{ reason, pointer: '#/steps', detail: 'it cannot be' }]
    const server = await opened(() => ({ body: plan({ refusals }) }))
    const told = await cli(['rollout', 'plan', ...making, ...at(server)])
    expect(told.exitCode).toBe(exitCode)
    expect(told.out).toContain('It may not start:')
    expect(told.out).toContain(`#/steps  ${reason}`)
    const json = await cli(['rollout', 'plan', ...making, ...at(server), '--json'])
    expect(JSON.parse(json.out)).toEqual(plan({ refusals }))
    expect(json.err).toBe('')
  })

  it('takes its steps from a file', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'isochrone-cli-'))
    try {
      const file = path.join(folder, 'steps.json')
      writeFileSync(file, '["weight=5%,bake=15m", {"kind": "approval"}]')
      const server = await opened(() => ({ body: plan() }))
      await cli(['rollout', 'plan', ...making, '--steps', file, ...at(server)])
      expect(sent(server)).toMatchObject({ steps: [{ kind: 'weight', weightBp: 500, bakeMs: 900_000 }, { kind: 'approval' }] })
      writeFileSync(file, '["weight=5"]')
      const told = await cli(['rollout', 'plan', ...making, '--steps', file, ...at(server)])
      expect(told.exitCode).toBe(2)
      expect(told.err).toContain('entry 0')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('start', () => {
  it.each([
    [[], {}],
    [['--four-eyes'], { fourEyes: true }],
    [['--no-four-eyes'], { fourEyes: false }],
    [['--from', 'atlas-1'], { from: 'atlas-1' }],
    [['--draft'], { start: false }],
  ])('makes a rollout and starts it: %j', async (options, more) => {
    const server = await opened(() => ({ status: 201, body: rolloutOf(['draft', 'pending_approval', 'approved', 'warming']) }))
    const told = await cli(['rollout', 'start', ...making, ...options, '--reason', 'smaller', '--actor', 'ann', ...at(server)])
    expect(told.exitCode).toBe(0)
    expect(told.out).toContain('r-1  atlas in staging: atlas-1 -> atlas-2')
    expect(sent(server)).toEqual({ environment: 'staging', model: 'atlas', to: 'atlas-2', start: true, reason: 'smaller', ...more })
    expect(server.seen[0]?.headers).toMatchObject({ authorization: 'Bearer operator-token', 'isochrone-actor': 'ann' })
  })

  it('starts one that is there', async () => {
    const server = await opened(() => ({ body: rolloutOf(['approved', 'warming']) }))
    expect((await cli(['rollout', 'start', 'r-1', '--reason', 'now', ...at(server)])).exitCode).toBe(0)
    expect(server.seen[0]).toMatchObject({ path: '/admin/v1/rollouts/r-1/start', body: '{"reason":"now"}' })
  })

  it('refused by a gate it ends with 3, and says which check failed', async () => {
    const check = { metric: 'accuracy', answer: 'fail', reason: '0.866 against 0.915, with 99 % to keep' }
    const good = { metric: 'generated_tokens', answer: 'pass', reason: 'alike' }
    const verdicts = [{ gate: 'accuracy', answer: 'fail', checks: [check, good] }]
    const server = await opened(() => ({ status: 409, body: problem('gate_failed', 409, { verdicts }) }))
    const told = await cli(['rollout', 'start', ...making, '--reason', 'smaller', ...at(server)])
    expect(told.exitCode).toBe(3)
    expect(told.err).toContain('accuracy  fail: 0.866 against 0.915')
    expect(told.err).not.toContain('alike')
  })
})

describe('commands', () => {
  it.each([
    ['submit', [], 'submit', {}],
    ['approve', [], 'approve', {}],
    ['reject', [], 'reject', {}],
    ['pause', [], 'pause', {}],
    ['resume', [], 'resume', {}],
    ['promote', [], 'promote', {}],
    ['promote', ['--full', '--approver', 'bob'], 'promote-full', { approver: 'bob' }],
    ['abort', [], 'abort', {}],
    ['retry', [], 'retry', {}],
    ['rollback', [], 'rollback', {}],
    ['rollback', ['--to', 'atlas-0'], 'rollback', { to: 'atlas-0' }],
    ['abort', ['--dry-run'], 'abort?dry_run=true', {}],
  ])('%s %j', async (name, options, route, more) => {
    const server = await opened(() => ({ body: rolloutOf(['warming', 'shifting']) }))
    expect((await cli(['rollout', name, 'r-1', ...options, '--reason', 'because', ...at(server)])).exitCode).toBe(0)
    expect(server.seen[0]).toMatchObject({ method: 'POST', path: `/admin/v1/rollouts/r-1/${route}` })
    expect(sent(server)).toEqual({ reason: 'because', ...more })
  })

  it('an id is a part of the path, whatever is in it', async () => {
    const server = await opened(() => ({ body: rolloutOf(['draft']) }))
    await cli(['rollout', 'get', '../versions/x?y', ...at(server)])
    expect(server.seen[0]?.path).toBe('/admin/v1/rollouts/..%2Fversions%2Fx%3Fy')
  })
})

describe('get', () => {
  it('shows one with what it waits for', async () => {
    const pause = { why: 'inconclusive', awaits: 'resume', untilMs: null, back: { to: 'judging' } }
    const server = await opened(() => ({ body: rolloutOf(['judging', 'paused'], { pause }) }))
    const told = await cli(['rollout', 'get', 'r-1', ...at(server)])
    expect(told.out).toMatchInlineSnapshot(`
      "r-1  atlas in staging: atlas-1 -> atlas-2
      phase     paused, step 0: 5 % for 15 min, 100 requests
      waits     paused (inconclusive) for isochrone rollout resume r-1 --reason …
      weight    5 %
      since     now
      deadline  in 10 min
      gates     accuracy=abort
      made by   operator:ann
      last      2026-11-26T08:00:02Z  judging -> paused  (settled by controller)  into paused

         STEP  WHAT
      >  0     5 % for 15 min, 100 requests
         1     a person's approval
         2     100 % for 30 min, 100 requests
      "
    `)
  })

  it('lists them, page after page, and a text of somebody cannot move the cursor', async () => {
    const pages: readonly Said[] = [
      { body: { items: [{ seq: 2, ...rolloutOf(['draft'], { id: 'r-2', model: 'at\u001b[2Jlas' }) }], nextCursor: 'two' } },
      { body: { items: [{ seq: 1, ...rolloutOf(['draft']) }], nextCursor: null } },
    ]
    const server = await opened((_, call) => pages[call])
    const told = await cli(['rollout', 'get', '--env', 'staging', '--live', ...at(server)])
    expect(told.out.split('\n').map((line) => line.split(' ')[0])).toEqual(['ROLLOUT', 'r-2', 'r-1', ''])
    expect(told.out).not.toContain('\u001b')
    expect(server.seen.map(({ path: route }) => route)).toEqual([
      '/admin/v1/rollouts?environment=staging&live=true&limit=200',
      '/admin/v1/rollouts?environment=staging&live=true&limit=199&cursor=two',
    ])
  })

  it('watches until it is over', async () => {
    const states = [['warming'], ['warming', 'shifting'], ['warming', 'shifting'], ['warming', 'shifting', 'aborting', 'rolled_back']]
    const server = await opened((_, call) => ({ body: rolloutOf(states[call] ?? []) }))
    const told = await cli(['rollout', 'get', 'r-1', '--watch', ...at(server)])
    expect(told.exitCode).toBe(3)
    // Without a change nothing is shown again; without a terminal nothing is cleared.
    expect(told.out.match(/^phase .*$/gm)).toHaveLength(3)
    expect(told.out).not.toContain('\u001b')
  })
})

describe('status --wait', () => {
  const wait = (server: LocalServer, ...options: readonly string[]) =>
    cli(['rollout', 'status', 'r-1', '--wait', '--timeout', '1m', ...options, ...at(server)])
  const over = ['draft', 'warming', 'shifting', 'baking', 'judging', 'promoting'] as const

  it('prints each transition once, and ends with 0 when it succeeded', async () => {
    const states = [over.slice(0, 2), over.slice(0, 4), over.slice(0, 4), [...over, 'succeeded']]
    const server = await opened((_, call) => ({ body: rolloutOf(states[call] ?? []) }))
    const told = await wait(server)
    expect(told.exitCode).toBe(0)
    expect(
      told.out
        .trim()
        .split('\n')
        .map((line) => line.split('  ')[1]),
    ).toEqual([
      'draft -> warming',
      'warming -> shifting',
      'shifting -> baking',
      'baking -> judging',
      'judging -> promoting',
      'promoting -> succeeded',
    ])
    expect(told.sleptMs).toBe(3_000)
  })

  it.each(['rolled_back', 'rejected', 'superseded'])('ends with 3 when it is %s', async (end) => {
    const server = await opened(() => ({ body: rolloutOf([...over, end]) }))
    expect((await wait(server)).exitCode).toBe(3)
    expect((await cli(['rollout', 'status', 'r-1', ...at(server)])).exitCode).toBe(3)
  })

  it('ends with 4 when the time is over, and not before, and says what it waits for', async () => {
    const server = await opened(({ path: route }) => ({
      body: route.endsWith('/explain') ? { waitsFor: 'the end of the bake' } : rolloutOf(['warming', 'baking']),
    }))
    const told = await wait(server)
    expect(told).toMatchObject({ exitCode: 4, sleptMs: 60_000 })
    expect(told.err).toBe('the wait is over, and it is baking; it waits for the end of the bake\n')
  })

  it('what came about by itself is told once', async () => {
    const same = { ...(rolloutOf(['aborting', 'rolled_back'])['last'] as object), reason: 'drained', detail: 'drained' }
    const server = await opened(() => ({ body: rolloutOf(['aborting', 'rolled_back'], { transitions: [same] }) }))
    expect((await wait(server)).out.match(/drained/g)).toHaveLength(1)
  })

  it('--until is reached by having been there', async () => {
    const server = await opened(() => ({ body: rolloutOf(['warming', 'shifting', 'aborting', 'rolled_back']) }))
    expect((await wait(server, '--until', 'shifting')).exitCode).toBe(0)
    expect((await wait(server, '--until', 'rolled_back')).exitCode).toBe(0)
    expect((await wait(server, '--until', 'baking')).exitCode).toBe(3)
  })

  it('says what a pause waits for, and goes on; with --fail-on-pause it ends with 3', async () => {
    const pause = { why: 'low_data', awaits: 'approval', untilMs: startMs + 3_600_000 }
    const states = [rolloutOf(['baking', 'paused'], { pause }), rolloutOf(['baking', 'paused', 'promoting', 'succeeded'])]
    const server = await opened((_, call) => ({ body: states[Math.min(call, 1)] }))
    const told = await wait(server)
    expect(told.exitCode).toBe(0)
    expect(told.out).toContain('waits: paused (low_data) for isochrone rollout approve r-1 --reason …, or in 1 h by itself')
    const strict = await opened(() => ({ body: states[0] }))
    expect(await wait(strict, '--fail-on-pause')).toMatchObject({ exitCode: 3, sleptMs: 0 })
  })

  it('core that is away for a moment does not end it: said once, and again when it is back', async () => {
    const away: readonly Said[] = [
      { status: 0 },
      { status: 503, body: problem('controller_unreachable', 503) },
      { status: 502, raw: '<html>bad gateway</html>' },
      { status: 429, body: problem('too_many', 429) },
    ]
    const server = await opened((_, call) => away[call] ?? { body: rolloutOf(['promoting', 'succeeded']) })
    const told = await wait(server)
    expect(told.exitCode).toBe(0)
    expect(told.err.match(/waiting on/g)).toHaveLength(1)
    expect(told.err).toContain('core answers again')
    // 1, 2, 4 and 8 seconds.
    expect(told.sleptMs).toBe(15_000)
  })

  it('core that never comes back ends it with 4, when the time is over', async () => {
    const server = await opened(() => ({ status: 0 }))
    const told = await wait(server)
    expect(told).toMatchObject({ exitCode: 4, sleptMs: 60_000 })
    expect(told.err).toContain('core never answered')
    expect(server.seen.length).toBeLessThan(12)
  })

  it('what core refuses for good ends it at once', async () => {
    const server = await opened(() => undefined)
    expect(await wait(server)).toMatchObject({ exitCode: 1, sleptMs: 0 })
  })

  it('with --json there is one document, and nothing beside it', async () => {
    const states = [rolloutOf(['warming']), rolloutOf(['warming', 'shifting'])]
    const server = await opened((_, call) => ({ body: states[Math.min(call, 1)] }))
    const told = await wait(server, '--json')
    expect(JSON.parse(told.out)).toMatchObject({
      id: 'r-1',
      until: 'succeeded',
      exitCode: 4,
      timedOut: true,
      rollout: { phase: 'shifting' },
    })
    expect(told.err).toBe('')
  })
})

it('explain shows whatever core says, as an outline and as it is', async () => {
  const body = { summary: 'bakes', gates: [{ gate: 'no_harm', answer: 'inconclusive', rates: { stable: 0.01, canary: null } }], cannot: [] }
  const server = await opened(() => ({ body }))
  const told = await cli(['rollout', 'explain', 'r-1', ...at(server)])
  expect(told.out).toBe(
    'summary: bakes\ngates:\n  - gate: no_harm\n    answer: inconclusive\n    rates:\n      stable: 0.01\n      canary: -\ncannot: []\n',
  )
  expect(JSON.parse((await cli(['rollout', 'explain', 'r-1', ...at(server), '--json'])).out)).toEqual(body)
})
