// Slowness, on a clock of its own.
import { describe, expect, it } from 'vitest'
import type { Sequence } from '../../cli/engine/model.ts'
import { slowed, stretch } from '../../cli/engine/slow.ts'

const never = new AbortController().signal
const options = { temperature: 0, topP: 1, seed: 1, topCount: null }

/** Gives three tokens, each after `tokenMs` of real time. */
const sequenceOf = (tokenMs: number): Sequence => ({
  clear: () => Promise.resolve(),
  sample: async function* () {
    for (const token of [1, 2, 3]) {
      await new Promise((resolve) => setTimeout(resolve, tokenMs))
      yield { token }
    }
  },
})

async function tokensOf(sequence: Sequence): Promise<readonly number[]> {
  const tokens: number[] = []
  for await (const { token } of sequence.sample([], options)) tokens.push(token)
  return tokens
}

describe('slowed', () => {
  it('gives the same tokens, no sooner than so many times as late', async () => {
    const startMs = performance.now()
    expect(await tokensOf(slowed(sequenceOf(10), 4, { nowMs: () => performance.now(), signal: never }))).toEqual([1, 2, 3])
    // A lower bound only: three tokens of 10 ms, four times; a timer may fire up to a millisecond early.
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(3 * (40 - 8))
  })

  it('is the sequence itself at full speed', () => {
    const sequence = sequenceOf(0)
    expect(slowed(sequence, 1, { nowMs: () => 0, signal: never })).toBe(sequence)
  })

  it('does not keep waiting for a client that left', async () => {
    const left = new AbortController()
    const waiting = stretch(100, 0, { nowMs: () => 3_600_000, signal: left.signal })
    left.abort()
    await expect(waiting).resolves.toBeUndefined()
  })
})
