// Rollouts over the admin API: what the control loop is asked, what is made of its answers, and what is refused before it is asked.

import { describe, expect, it } from 'vitest'
import { rolloutCommands, type RolloutCommand } from '../../../core/facts.ts'
import { draftOf } from '../../../core/rollout/change.ts'
import type { Rollout } from '../../../core/rollout/record.ts'
import type { Environment, ModelName, RolloutId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import type { Verdict } from '../../../shared/wire/gate.ts'
import { furnished, granted, nowMs, refused, stamp, type AdminWorld, type Json } from '../../support/admin-world.ts'
import { weight } from './rollout-ride.ts'

const steps = [weight(100), weight(10_000)]

const rolloutOf = (id: string, more: Partial<Rollout> = {}): Rollout => ({
  ...draftOf(
    {
      id: id as RolloutId,
      environment: 'production',
      model: 'atlas' as ModelName,
      from: 'atlas-1' as VersionId,
      to: 'atlas-2' as VersionId,
      steps,
      gates: [],
      plannedRequests: 100,
      salt: 'salt',
      createdBy: 'operator:ann',
      fourEyes: true,
    },
    nowMs,
  ),
  ...more,
})

async function keep(world: AdminWorld, rollout: Rollout): Promise<Rollout> {
  const kept = await world.stores.rollouts.create(rollout, stamp)
  if (!kept.ok) throw new Error(JSON.stringify(kept.error))
  return rollout
}

const request = { environment: 'production', model: 'atlas', to: 'atlas-2', reason: 'a better model' }

describe('making a rollout', () => {
  it('asks the control loop with what was said, and with what was left out', async () => {
    const { ask, loop, script, nudges } = await furnished()
    script.create = granted(rolloutOf('r1'))
    const before = nudges()
    const told = await ask('POST', '/rollouts', request, { 'isochrone-actor': 'ann' })
    expect(told.status).toBe(201)
    expect([told.headers.get('location'), told.headers.get('etag')]).toEqual(['/admin/v1/rollouts/r1', '"1"'])
    expect(told.body).toMatchObject({ id: 'r1', phase: 'draft' })
    expect(nudges()).toBe(before + 1)
    const asked = { ...request, from: null, steps: undefined, gates: undefined, fourEyes: null, start: false }
    expect(loop).toEqual([
      {
        call: 'create',
        asked,
        stamp: { atMs: nowMs, actor: 'operator:ann', requestId: told.headers.get('x-request-id'), reason: request.reason },
      },
    ])
  })

  it('hands steps and gates on as they came', async () => {
    const { must, loop, script } = await furnished()
    script.create = granted(rolloutOf('r1'))
    const more = { from: 'atlas-1', steps: [{ kind: 'weight' }, 'x'], gates: { accuracy: 'observe' }, fourEyes: false, start: true }
    await must('POST', '/rollouts', { ...request, ...more })
    expect(loop).toMatchObject([{ call: 'create', asked: { ...request, ...more } }])
  })

  it('a dry run answers the plan, also one that cannot start, and makes nothing', async () => {
    const { must, loop, script, nudges } = await furnished()
    const plan = { to: 'atlas-2', refusals: [{ reason: 'capacity_missing', pointer: '#/steps/0/weightBp', detail: 'no room' }] }
    script.plan = granted(plan)
    const before = nudges()
    const told = await must('POST', '/rollouts?dry_run=true', request)
    expect([told.status, told.body]).toEqual([200, plan])
    expect(loop.map(({ call }) => call)).toEqual(['plan'])
    expect(nudges()).toBe(before)
  })

  it.each<readonly [Json, string]>([
    [{ environment: 'test' }, '#/environment'],
    [{ model: '' }, '#/model'],
    [{ to: 'A B' }, '#/to'],
    [{ from: 3 }, '#/from'],
    [{ reason: '' }, '#/reason'],
    [{ reason: 'x'.repeat(limits.reasonCharsMax + 1) }, '#/reason'],
    [{ start: 'yes' }, '#/start'],
    [{ fourEyes: 'yes' }, '#/fourEyes'],
    [{ step: [] }, '#/step'],
  ])('%j is refused at %s, in a dry run too', async (wrong, pointer) => {
    const { ask, loop } = await furnished()
    for (const dry of ['', '?dry_run=true']) {
      expect((await ask('POST', `/rollouts${dry}`, { ...request, ...wrong })).body).toMatchObject({ status: 422, pointer })
    }
    const { reason: _unsaid, ...silent } = request
    expect((await ask('POST', '/rollouts', silent)).body).toMatchObject({ pointer: '#/reason' })
    expect(loop).toEqual([])
  })

  it('what the control loop refuses is a problem with all that is wrong', async () => {
    const { ask, script } = await furnished()
    const faults = [{ reason: 'steps_invalid', pointer: '#/steps/1/weightBp', detail: 'weights only rise' }]
    script.create = refused({ reason: 'plan_refused', faults })
    expect((await ask('POST', '/rollouts', request)).body).toMatchObject({ status: 422, code: 'plan_refused', faults })
    script.create = refused({ reason: 'plan_refused', faults: [...faults, { reason: 'rollout_active', pointer: '#/model', detail: 'r9' }] })
    expect((await ask('POST', '/rollouts', request)).body).toMatchObject({ status: 409, code: 'plan_refused' })
    script.create = refused({ reason: 'missing_reference', what: 'to', detail: 'there is none' })
    expect((await ask('POST', '/rollouts', request)).body).toMatchObject({ status: 422, pointer: '#/to' })
  })

  it('a control loop that is silent, or fails, is not waited for', async () => {
    const { ask, logged, nudges } = await furnished()
    const before = nudges()
    expect((await ask('POST', '/rollouts', request)).body).toMatchObject({ status: 503, code: 'controller_unreachable' })
    expect(nudges()).toBe(before)
    const broken = await furnished()
    broken.script.command = () => Promise.reject(new Error('reset'))
    await keep(broken, rolloutOf('r1'))
    expect((await broken.ask('POST', '/rollouts/r1/submit', { reason: 'x' })).body).toMatchObject({ code: 'controller_unreachable' })
    expect([logged.length, broken.logged]).toMatchObject([0, [{ error: 'Error: reset' }]])
  })
})

describe('reading rollouts', () => {
  async function several(): Promise<AdminWorld> {
    const world = await furnished()
    await keep(world, rolloutOf('r1', { phase: 'rolled_back' }))
    await keep(world, rolloutOf('r2', { environment: 'staging' as Environment }))
    await keep(world, rolloutOf('r3', { phase: 'warming', generation: 4 }))
    return world
  }
  const ids = (body: Json) => (body['items'] as readonly Json[]).map(({ id }) => id)

  it.each([
    ['', ['r3', 'r2', 'r1']],
    ['?environment=production', ['r3', 'r1']],
    ['?environment=production&live=true', ['r3']],
    ['?live=false', ['r3', 'r2', 'r1']],
    ['?model=other', []],
    ['?model=atlas&limit=1', ['r3']],
  ])('lists %s: %j', async (query, expected) => {
    const { must } = await several()
    expect(ids((await must('GET', `/rollouts${query}`)).body)).toEqual(expected)
  })

  it('page by page, newest first', async () => {
    const { must } = await several()
    const first = await must('GET', '/rollouts?limit=2')
    const second = await must('GET', `/rollouts?limit=2&cursor=${String(first.body['nextCursor'])}`)
    expect([ids(first.body), ids(second.body), second.body['nextCursor']]).toEqual([['r3', 'r2'], ['r1'], null])
  })

  it.each([
    ['/rollouts?environment=test', '?environment'],
    ['/rollouts?live=1', '?live'],
    ['/rollouts?phase=paused', '?phase'],
    ['/rollouts/r3?x=1', '?x'],
    ['/rollouts/r3/explain?x=1', '?x'],
    ['/verdicts?gate=accuracy', '?gate'],
  ])('refuses %s at %s', async (path, pointer) => {
    const { ask } = await several()
    expect((await ask('GET', path)).body).toMatchObject({ status: 422, pointer })
  })

  it('one, with what became of it and its generation as ETag', async () => {
    const { must } = await several()
    const told = await must('GET', '/rollouts/r3')
    expect(told.headers.get('etag')).toBe('"4"')
    expect(told.body).toMatchObject({ id: 'r3', phase: 'warming', transitions: [] })
    expect((await must('GET', '/rollouts/r3/transitions')).body).toEqual({ items: [], nextCursor: null })
  })

  it('its verdicts, and those of a version, newest first', async () => {
    const world = await several()
    const verdict = (id: string, rollout: string, version: string): Verdict => ({
      id,
      rollout: rollout as RolloutId,
      environment: 'production',
      model: 'atlas' as ModelName,
      version: version as VersionId,
      reference: null,
      gate: 'accuracy',
      mode: 'abort',
      answer: 'pass',
      step: null,
      checks: [],
      window: null,
      atMs: nowMs,
    })
    await world.stores.verdicts.add([verdict('a', 'r3', 'atlas-2'), verdict('b', 'r1', 'atlas-2'), verdict('c', 'r3', 'atlas-3')])
    const list = async (path: string) => ids((await world.must('GET', path)).body)
    expect(await list('/verdicts')).toEqual(['c', 'b', 'a'])
    expect(await list('/verdicts?rollout=r3&version=atlas-2')).toEqual(['a'])
    expect(await list('/rollouts/r3/verdicts')).toEqual(['c', 'a'])
    const { body } = await world.must('GET', '/rollouts/r3/verdicts?limit=1')
    expect(await list(`/rollouts/r3/verdicts?limit=1&cursor=${String(body['nextCursor'])}`)).toEqual(['a'])
  })

  it('what the control loop says of it', async () => {
    const { must, script, loop } = await several()
    script.explain = granted({ waitsFor: 'a person' })
    expect((await must('GET', '/rollouts/r3/explain')).body).toEqual({ waitsFor: 'a person' })
    expect(loop).toEqual([{ call: 'explain', id: 'r3' }])
  })

  it.each(['', '/transitions', '/verdicts', '/explain'])('one that is not there is not found: %s', async (part) => {
    const { ask, loop } = await several()
    expect((await ask('GET', `/rollouts/none${part}`)).body).toMatchObject({ status: 404, detail: 'There is no rollout "none".' })
    expect(loop).toEqual([])
  })
})

describe('commands', () => {
  const at = rolloutOf('r1', { phase: 'approved', generation: 3 })
  async function scene(): Promise<AdminWorld> {
    const world = await furnished()
    await keep(world, at)
    world.script.command = async () => granted({ ...at, phase: 'warming', generation: 4 })
    return world
  }
  const command = (more: Partial<RolloutCommand>): RolloutCommand => ({
    command: 'start',
    reason: 'now',
    approver: null,
    to: null,
    scopes: ['rollouts:promote-full'],
    generation: null,
    dryRun: false,
    ...more,
  })

  it.each(rolloutCommands)('%s is told with its reason, and who gave it', async (name) => {
    const { must, loop, nudges } = await scene()
    const before = nudges()
    const told = await must('POST', `/rollouts/r1/${name.replace('_', '-')}`, { reason: 'now' }, { 'isochrone-actor': 'bob' })
    expect([told.status, told.headers.get('etag'), told.body['phase']]).toEqual([200, '"4"', 'warming'])
    expect(loop).toMatchObject([
      { call: 'command', id: 'r1', command: command({ command: name }), stamp: { actor: 'operator:bob', reason: 'now' } },
    ])
    expect(nudges()).toBe(before + 1)
  })

  it('an approver is noted as an actor is: nobody seconds himself', async () => {
    const { must, loop } = await scene()
    await must('POST', '/rollouts/r1/promote-full', { reason: 'now', approver: 'ann' })
    expect(loop).toMatchObject([{ command: { approver: 'operator:ann' } }])
  })

  it('a dry run changes nothing, and shows what would be with the ETag of what is', async () => {
    const { must, loop, nudges } = await scene()
    const before = nudges()
    const told = await must('POST', '/rollouts/r1/start?dry_run=true', { reason: 'now' })
    expect([told.headers.get('etag'), told.body['generation']]).toEqual(['"3"', 4])
    expect(loop).toMatchObject([{ command: command({ dryRun: true }) }])
    expect(nudges()).toBe(before)
  })

  it.each([
    [undefined, null],
    ['*', null],
    ['"3"', 3],
    ['"2", "3"', 3],
  ])('If-Match %s means generation %s', async (header, generation) => {
    const { must, loop } = await scene()
    await must('POST', '/rollouts/r1/start', { reason: 'now' }, header === undefined ? {} : { 'if-match': header })
    expect(loop).toMatchObject([{ command: command({ generation }) }])
  })

  it.each(['"2"', 'W/"3"'])('If-Match %s is of another one', async (header) => {
    const { ask, loop } = await scene()
    const told = await ask('POST', '/rollouts/r1/start', { reason: 'now' }, { 'if-match': header })
    expect([told.status, told.headers.get('etag'), told.body['current']]).toEqual([412, '"3"', 3])
    expect(loop).toEqual([])
  })

  it.each<readonly [string, Json, string]>([
    ['start', {}, '#/reason'],
    ['start', { reason: '' }, '#/reason'],
    ['start', { reason: 'x', to: 'atlas-1' }, '#/to'],
    ['approve', { reason: 'x', approver: 'ann' }, '#/approver'],
    ['promote-full', { reason: 'x', approver: 'a b' }, '#/approver'],
    ['promote-full', { reason: 'x', to: 'atlas-1' }, '#/to'],
    ['rollback', { reason: 'x', to: 'A B' }, '#/to'],
    ['rollback', { reason: 'x', approver: 'ann' }, '#/approver'],
  ])('%s refuses %j at %s', async (name, body, pointer) => {
    const { ask, loop } = await scene()
    expect((await ask('POST', `/rollouts/r1/${name}`, body)).body).toMatchObject({ status: 422, pointer })
    expect(loop).toEqual([])
  })

  it('a command that is not known is no route, one by another method is none either', async () => {
    const { ask } = await scene()
    expect((await ask('POST', '/rollouts/r1/explode', { reason: 'x' })).body).toMatchObject({ status: 404, code: 'unknown_route' })
    expect((await ask('POST', '/rollouts/r1/promote_full', { reason: 'x' })).status).toBe(404)
    expect((await ask('GET', '/rollouts/r1/start')).headers.get('allow')).toBe('POST')
    expect((await ask('DELETE', '/rollouts/r1')).headers.get('allow')).toBe('GET')
    expect((await ask('POST', '/rollouts/none/start', { reason: 'x' })).body).toMatchObject({ status: 404, code: 'not_found' })
  })

  it.each(['retry', 'rollback'] as const)('a %s answers with the rollout that it made', async (name) => {
    const world = await scene()
    const made = await keep(world, rolloutOf('r2', { retryOf: at.id, phase: 'pending_approval', generation: 2 }))
    world.script.command = async () => granted({ ...at, successor: made.id, generation: 4 })
    const told = await world.must('POST', `/rollouts/r1/${name}`, name === 'rollback' ? { reason: 'x', to: 'atlas-1' } : { reason: 'x' })
    expect([told.status, told.headers.get('location'), told.headers.get('etag')]).toEqual([201, '/admin/v1/rollouts/r2', '"2"'])
    expect(told.body).toMatchObject({ id: 'r2' })
    expect(world.loop).toMatchObject([{ command: { command: name, to: name === 'rollback' ? 'atlas-1' : null } }])
    const dry = await world.must('POST', `/rollouts/r1/${name}?dry_run=true`, { reason: 'x' })
    expect([dry.status, dry.body['id']]).toEqual([200, 'r1'])
  })

  it.each([
    [refused({ reason: 'rollout_refused', why: 'illegal_transition', detail: 'it is over', allowed: ['retry'] }), 409],
    [refused({ reason: 'rollout_refused', why: 'second_approver_missing', detail: 'another', allowed: [] }), 403],
    [refused({ reason: 'generation_mismatch', current: 9 }), 412],
    [refused({ reason: 'scope_missing', scope: 'rollouts:promote-full' }), 403],
    [refused({ reason: 'alias_moved', environment: 'production', model: 'atlas' }), 409],
    [refused({ reason: 'gate_failed', verdicts: [] }), 409],
  ])('%j is %i', async (said, status) => {
    const { ask, script, nudges } = await scene()
    script.command = async () => said
    const before = nudges()
    expect((await ask('POST', '/rollouts/r1/start', { reason: 'x' })).body).toMatchObject({ status, code: said.error.reason })
    expect(nudges()).toBe(before)
  })
})
