// A version that is withdrawn while requests for it are on their way: they get the one that is served now, and none of them fails.

import { describe, expect, it } from 'vitest'
import { ok } from '../../../shared/result.ts'
import type { VersionId } from '../../../shared/ids.ts'
import type { AskAnswer } from '../../../shared/wire/ledger.ts'
import { credential } from '../../support/credential.ts'
import { answer, delta, go, json, question, sse, unreachable, world, type World } from '../../support/edge-world.ts'
import { alias, endpoint, snapshotOf, version } from '../../support/snapshot.ts'
import { readAll } from '../../support/stream.ts'

const found = { found: await credential() }
const canary = 'atlas-3' as VersionId
const both = [endpoint('old', 'near-region', { slots: 1 }), endpoint('new', 'near-region', { version: canary, slots: 1 })]
const shifting = snapshotOf(both, { aliases: [alias({ canary, weightBp: 10_000 })] })
const aborted = { ...shifting, generation: 2, aliases: [alias({ canary, weightBp: 0 })] }

describe('a canary that is aborted', () => {
  it('gets nobody who asks for it: the request goes to stable, and counts for that', async () => {
    const at = await world(shifting, { credential: found })
    await at.publish(aborted)
    const walked = await go(at)
    expect(walked.trail).toMatchObject({ version, endpoint: 'old' })
    expect(at.sent.map(({ endpoint: to }) => to.id)).toEqual(['old'])
    expect(at.ledger.asked[0]).toMatchObject({ version: canary, alias: 'development/atlas' })
    await at.settle()
    expect(at.ledger.live()).toBe(0)
    expect(at.log).toMatchObject([{ status: 200, refused: null, version }])
  })

  it('gets nobody of those who wait for it either', async () => {
    const streaming = { ...question, stream: true }
    const at = await world(shifting, { credential: found, upstream: () => Promise.resolve(sse(delta('x'), '[DONE]')) })
    const first = await go(at, streaming)
    expect(first.trail.version).toBe(canary)
    const waiting = go(at, streaming)
    await expect.poll(() => at.ledger.asked.length).toBe(2)
    await at.ledger.exchange({ snapshot: aborted, cell: 'atlas@near-region' })
    expect((await waiting).trail).toMatchObject({ version, endpoint: 'old' })
    // Who was there already is served to the end.
    if (!first.answer.ok) throw new Error('refused')
    expect((await readAll(first.answer.value.body)).text).toContain('[DONE]')
    const second = await waiting
    if (second.answer.ok) await readAll(second.answer.value.body)
    await at.settle()
    expect(at.ledger.live()).toBe(0)
  })

  it('gets no second attempt: whom it failed is answered by stable', async () => {
    const more = [...both, endpoint('newer', 'near-region', { version: canary })]
    const at: World = await world(
      { ...shifting, endpoints: more },
      {
        credential: found,
        upstream: async (request) => {
          if (request.endpoint.id === 'old') return json(answer('saved'))
          await at.publish({ ...aborted, endpoints: more })
          return unreachable
        },
      },
    )
    const walked = await go(at)
    expect(walked.trail).toMatchObject({ version, endpoint: 'old' })
    expect(walked.failed).toMatchObject([{ outcome: 'hard_failure' }])
    await at.settle()
    expect(at.ledger.live()).toBe(0)
  })
})

it('a canary that has become stable serves those who were on their way to the old one', async () => {
  const at = await world(snapshotOf(both), { credential: found })
  await at.publish({ ...snapshotOf(both), generation: 2, aliases: [alias({ stable: canary })] })
  expect((await go(at)).trail).toMatchObject({ version: canary, endpoint: 'new' })
})

it('a version that was given up and taken up again in the meantime is asked for again', async () => {
  const at = await world(shifting, { credential: found })
  const again = { ...shifting, generation: 3 }
  const real = at.ledger.ask.bind(at.ledger)
  let asked = 0
  at.ledger.ask = (ask) =>
    ++asked === 1 ? Promise.resolve({ generation: 3, snapshot: again, lease: null, denied: 'withdrawn' }) : real(ask)
  await at.publish(again)
  expect((await go(at)).trail).toMatchObject({ version: canary, endpoint: 'new' })
  expect(asked).toBe(2)
})

describe('of many requests around an abort', () => {
  it('none fails, and after the first news none asks for the canary', async () => {
    const roomy = both.map((each) => ({ ...each, slots: 50 }))
    const at = await world({ ...shifting, endpoints: roomy }, { credential: found })
    const walks = Array.from({ length: 20 }, () => go(at))
    await at.publish({ ...aborted, endpoints: roomy })
    walks.push(...Array.from({ length: 20 }, () => go(at)))
    const walked = await Promise.all(walks)
    expect(walked.filter(({ answer: said }) => !said.ok)).toEqual([])
    const asked = at.ledger.asked.length
    const later = await Promise.all(Array.from({ length: 20 }, () => go(at)))
    expect(new Set(later.map(({ trail }) => trail.version))).toEqual(new Set([version]))
    expect(at.ledger.asked.slice(asked).filter(({ version: each }) => each === canary)).toEqual([])
    await at.settle()
    expect(at.ledger.live()).toBe(0)
  })
})

describe('a ledger that says so without news', () => {
  const denying = (generation: number): AskAnswer => ({ generation, snapshot: null, lease: null, denied: 'withdrawn' })

  it('and knows no more than we do: another cell is asked', async () => {
    const far = endpoint('far', 'far-region')
    const at = await world(snapshotOf([endpoint('near', 'near-region'), far]), { credential: found })
    const real = at.ledger.ask.bind(at.ledger)
    at.ledger.ask = (ask) => (ask.cell === 'atlas@near-region' ? Promise.resolve(denying(1)) : real(ask))
    expect((await go(at)).trail.endpoint).toBe('far')
  })

  it('and knows no more than we do, where there is no other: nobody is there, and it is asked no more than a few times', async () => {
    const at = await world(snapshotOf([endpoint('near', 'near-region')]), { credential: found })
    at.ledger.ask = () => Promise.resolve(denying(1))
    let asked = 0
    const counted = at.ports.ledgers.ask
    const ports = { ...at.ports, ledgers: { ...at.ports.ledgers, ask: (ask: Parameters<typeof counted>[0]) => (asked++, counted(ask)) } }
    const walked = await go({ ...at, ports })
    expect(walked.answer).toMatchObject({ ok: false, error: { reason: 'no_healthy_endpoint' } })
    expect(asked).toBe(1)
  })

  it('because it is behind: what is known here decides', async () => {
    const at = await world({ ...shifting, generation: 3 }, { credential: found })
    at.ledger.ask = () => Promise.resolve(denying(2))
    const walked = await go(at)
    expect(walked.answer).toMatchObject(ok({ status: 200 }))
    expect(walked.trail).toMatchObject({ version: canary, endpoint: 'new' })
    expect(walked.serving?.routed.way).toBe('capacity')
  })
})
