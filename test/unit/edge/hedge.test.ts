// Two copies of one request: who wins, who is cancelled, and that nobody goes on for nothing.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hedge, type Racer } from '../../../edge/call/hedge.ts'
import { heldTime, idle } from '../../support/held-time.ts'

type Attempt = Racer & { readonly name: string; readonly cancelled: () => boolean }

/** Answers after a time, well or not, unless it is cancelled first; null: never. */
function attempt(name: string, afterMs: number | null, ok: boolean, timer: ReturnType<typeof heldTime>['timer']): Attempt {
  let over = false
  let cancelled = false
  const answer = new Promise<{ ok: boolean }>((resolve) => {
    if (afterMs === null) return
    void timer.sleep(afterMs).then(() => {
      over = true
      resolve({ ok })
    })
  })
  return { name, answer, cancelled: () => cancelled, cancel: () => void (cancelled ||= !over) }
}

async function race(first: readonly [number | null, boolean], routeMs: number, copy: readonly [number | null, boolean] | null) {
  const time = heldTime()
  const one = attempt('first', ...first, time.timer)
  const sent: Attempt[] = [one]
  let winner: Attempt | null = null
  let asked = 0
  const second = async (over: AbortSignal): Promise<Attempt | null> => {
    asked++
    await time.timer.sleep(routeMs)
    if (!copy || over.aborted) return null
    const two = attempt('copy', ...copy, time.timer)
    sent.push(two)
    return two
  }
  void hedge(one, 100, second, time.timer).then((each) => (winner = each))
  await time.advance(10_000)
  await idle()
  return { winner: winner as Attempt | null, sent, asked }
}

describe('hedge', () => {
  it.each<readonly [string, Parameters<typeof race>, string, readonly string[]]>([
    ['answers in time', [[99, true], 10, [10, true]], 'first', []],
    ['fails in time: that is a retry’s business', [[99, false], 10, [10, true]], 'first', []],
    ['is slow and the copy sooner', [[500, true], 10, [20, true]], 'copy', ['first']],
    ['is slow and yet sooner than the copy', [[200, true], 10, [500, true]], 'first', ['copy']],
    ['is slow and there may be no copy', [[500, true], 10, null], 'first', []],
    ['is slow and the copy fails', [[500, true], 10, [20, false]], 'first', []],
    ['fails while the copy runs', [[200, false], 10, [500, true]], 'copy', []],
    ['fails while the copy is being routed', [[110, false], 50, [500, true]], 'copy', []],
    ['fails, and there may be no copy', [[110, false], 50, null], 'first', []],
    ['fails, and so does the copy', [[200, false], 10, [500, false]], 'first', []],
    ['never answers', [[null, true], 10, [20, true]], 'copy', ['first']],
    ['answers while the copy is being routed: that is not sent', [[110, true], 50, [20, true]], 'first', []],
  ])('when the first %s', async (_, how, wins, cancelled) => {
    const { winner, sent } = await race(...how)
    expect(winner?.name).toBe(wins)
    expect(sent.filter((each) => each.cancelled()).map(({ name }) => name)).toEqual(cancelled)
  })

  it('asks for no copy before its time', async () => {
    expect((await race([100 - 1, true], 0, [1, true])).asked).toBe(0)
    expect((await race([101, true], 0, [1, true])).asked).toBe(1)
  })

  it('leaves nobody running who has not won, and takes a good answer where there is one', () => {
    const run = fc.record({ afterMs: fc.option(fc.integer({ min: 1, max: 400 })), ok: fc.boolean() })
    return fc.assert(
      fc.asyncProperty(run, fc.nat(200), fc.option(run), async (first, routeMs, copy) => {
        const { winner, sent } = await race([first.afterMs, first.ok], routeMs, copy && [copy.afterMs, copy.ok])
        const results = await Promise.all(sent.map((each) => Promise.race([each.answer, Promise.resolve(null)])))
        const good = sent.some((_, i) => results[i]?.ok)
        if (good) expect(winner && (await winner.answer).ok).toBe(true)
        if (winner) sent.forEach((each, i) => expect(each === winner || each.cancelled() || results[i] !== null).toBe(true))
        else expect(results.filter((each) => each === null).length).toBeGreaterThan(0)
      }),
      { numRuns: 60 },
    )
  })

  it('ends the first when routing the copy breaks', async () => {
    const time = heldTime()
    const one = attempt('first', null, true, time.timer)
    const broken = hedge(one, 100, () => Promise.reject(new Error('bug')), time.timer)
    const told = expect(broken).rejects.toThrow('bug')
    await time.advance(200)
    await told
    expect(one.cancelled()).toBe(true)
  })
})
