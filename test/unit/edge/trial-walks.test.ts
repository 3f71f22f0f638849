// What the whole way of a request tells its ledger of versions.

import { describe, expect, it } from 'vitest'
import { exchange } from '../../../edge/ledger/book.ts'
import { err } from '../../../shared/result.ts'
import { seededRandom } from '../../../shared/random.ts'
import type { CellId, VersionId } from '../../../shared/ids.ts'
import type { TrialTally } from '../../../shared/wire/trial.ts'
import { credential } from '../../support/credential.ts'
import { delta, go, json, question, sse, unreachable, world, type World } from '../../support/edge-world.ts'
import { alias, endpoint, snapshotOf, version } from '../../support/snapshot.ts'
import { readAll } from '../../support/stream.ts'

const two = snapshotOf([endpoint('near', 'near-region'), endpoint('far', 'far-region')])
const found = { found: await credential() }

/** What the ledger of a cell has been told, once everything was. */
async function told(at: World, region = 'near-region'): Promise<readonly TrialTally[]> {
  await at.settle()
  const answer = exchange(at.ledger.book(`atlas@${region}` as CellId), { snapshot: null, cell: null }, Date.now(), seededRandom(1))
  return answer.blocks.flatMap(({ trials }) => trials ?? [])
}

const once = { alias: 'development/atlas', version, write: '', shadow: false, arrived: 1, judged: 1 }

describe('a request', () => {
  it('that is answered arrives once and is judged once, in the cell that served it', async () => {
    const at = await world(two, { credential: found })
    await go(at)
    expect(await told(at)).toMatchObject([{ ...once, hardErrors: 0, empty: { of: 1, bad: 0 }, earlyAborts: { of: 0, bad: 0 } }])
    expect(await told(at, 'far-region')).toEqual([])
  })

  it('for a stream tells of its first token, and whether its caller waited for that', async () => {
    const at = await world(two, { credential: found, upstream: () => Promise.resolve(sse(delta('a'), '[DONE]')) })
    const walked = await go(at, { ...question, stream: true })
    if (walked.answer.ok) await readAll(walked.answer.value.body)
    const [tally] = await told(at)
    expect(tally).toMatchObject({ ...once, hardErrors: 0, earlyAborts: { of: 1, bad: 0 } })
    expect(Object.values(tally?.ttft ?? {})).toEqual([1])
  })

  it('that another endpoint saved has failed once, where it went first', async () => {
    const at = await world(two, {
      credential: found,
      upstream: (_, call) => Promise.resolve(call === 1 ? unreachable : json({ choices: [] })),
    })
    await go(at)
    expect(await told(at)).toMatchObject([{ ...once, hardErrors: 1 }])
    expect(await told(at, 'far-region')).toEqual([])
  })

  it('that fails everywhere has failed once', async () => {
    const at = await world(two, { credential: found, upstream: () => Promise.resolve(err({ detail: 'refused' })) })
    await go(at)
    expect(await told(at)).toMatchObject([{ ...once, hardErrors: 1 }])
  })

  it('that finds nobody has failed, in the first cell of its model', async () => {
    const gone = snapshotOf([endpoint('near', 'near-region', { state: 'unhealthy' })])
    const at = await world(gone, { credential: found })
    const walked = await go(at)
    expect(walked.answer.ok).toBe(false)
    expect(await told(at)).toMatchObject([{ ...once, hardErrors: 1 }])
  })

  it('is counted for the version and the write of the alias that it was assigned by', async () => {
    const canary = 'atlas-3' as VersionId
    const write = { id: 'ro_1', generation: 4 } as never
    const rolling = alias({ canary, weightBp: 10_000, write })
    const at = await world(snapshotOf([endpoint('near', 'near-region', { version: canary })], { aliases: [rolling] }), {
      credential: found,
    })
    await go(at)
    expect(await told(at)).toMatchObject([{ ...once, version: canary, write: 'ro_1:4' }])
  })

  it('tells nothing where its client tries again', async () => {
    const at = await world(two, { credential: found })
    await go(at, question, { header: (name) => (name === 'x-stainless-retry-count' ? '1' : null) })
    expect(await told(at)).toEqual([])
    expect(at.ledger.settled).toHaveLength(1)
  })
})
