import { expect, it } from 'vitest'
import { Turns } from '../../../core/turns.ts'

/** Turns that end when told, and a record of how many ran at once. */
function bench() {
  const ends: (() => void)[] = []
  let running = 0
  const seen = { taken: 0, atOnce: 0, hurried: 0 }
  const turns = new Turns(async (hurry) => {
    seen.taken += 1
    running += 1
    seen.atOnce = Math.max(seen.atOnce, running)
    hurry.addEventListener('abort', () => (seen.hurried += 1))
    await new Promise<void>((resolve) => ends.push(resolve))
    running -= 1
  })
  const endOne = async () => {
    ends.shift()?.()
    for (let i = 0; i < 10; i++) await Promise.resolve()
  }
  return { turns, seen, endOne }
}

it('starts at once when none is under way', () => {
  const { turns, seen } = bench()
  void turns.nudge()
  expect(seen.taken).toBe(1)
})

it('many nudges during a turn hurry it and make one follow, for which all of them wait', async () => {
  const { turns, seen, endOne } = bench()
  void turns.nudge()
  let heard = 0
  for (let i = 0; i < 5; i++) void turns.nudge().then(() => (heard += 1))
  await endOne()
  expect(seen).toEqual({ taken: 2, atOnce: 1, hurried: 1 })
  expect(heard).toBe(0)
  await endOne()
  expect(heard).toBe(5)
  expect(seen.taken).toBe(2)
})

it('a nudge during the one that follows makes another follow', async () => {
  const { turns, seen, endOne } = bench()
  void turns.nudge()
  void turns.nudge()
  await endOne()
  void turns.nudge()
  await endOne()
  expect(seen).toEqual({ taken: 3, atOnce: 1, hurried: 2 })
})

it('a turn that fails is followed all the same', async () => {
  let taken = 0
  const turns = new Turns(async () => {
    taken += 1
    await Promise.resolve()
    if (taken === 1) throw new Error('a bug')
  })
  const first = turns.nudge()
  const second = turns.nudge()
  await expect(first).rejects.toThrow('a bug')
  await expect(second).resolves.toBeUndefined()
  await turns.nudge()
  expect(taken).toBe(3)
})

it('a tick during a turn neither hurries it nor adds one', async () => {
  const { turns, seen, endOne } = bench()
  void turns.nudge()
  let ticked = false
  void turns.tick().then(() => (ticked = true))
  await endOne()
  expect(ticked).toBe(true)
  expect(seen).toEqual({ taken: 1, atOnce: 1, hurried: 0 })
  void turns.tick()
  expect(seen.taken).toBe(2)
})

it.each([0, 1, 2, 3, 4, 5, 6])(
  'never two at once, whenever a nudge comes: %i steps after a turn that is followed has ended',
  async (steps) => {
    const { turns, seen, endOne } = bench()
    void turns.nudge()
    void turns.nudge()
    const ending = endOne()
    for (let i = 0; i < steps; i++) await Promise.resolve()
    void turns.nudge()
    await ending
    await endOne()
    await endOne()
    expect(seen.atOnce).toBe(1)
    expect(seen.taken).toBeGreaterThanOrEqual(2)
  },
)
