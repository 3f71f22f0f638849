// One sequence at work, with a model of a few lines: token n is the n-th letter, 0 ends.
import { describe, expect, it } from 'vitest'
import { generate, type Job } from '../../cli/engine/generate.ts'
import { newTally } from '../../cli/engine/metrics.ts'
import type { Sequence } from '../../cli/engine/model.ts'

const model = {
  contextTokens: 10,
  detokenise: (tokens: readonly number[]) => tokens.map((token) => String.fromCharCode(96 + token)).join(''),
  isEnd: (token: number) => token === 0,
}

/** Says `tokens`, then a for ever. */
function sequenceOf(tokens: readonly number[]): Sequence & { readonly asked: () => number } {
  let asked = 0
  return {
    asked: () => asked,
    clear: async () => {},
    sample: async function* () {
      for (;;) {
        const token = tokens[asked] ?? 1
        asked += 1
        yield { token }
      }
    },
  }
}

async function run(tokens: readonly number[], more: Partial<Job> = {}, leaveAfter = Infinity) {
  const job: Job = { prompt: [9, 9, 9], options: { temperature: 0, topP: 1, seed: 1, topCount: null }, stops: [], tokensMax: null, ...more }
  const said: string[] = []
  const leaving = new AbortController()
  const sequence = sequenceOf(tokens)
  const tally = newTally()
  let nowMs = 0
  const pause = async (count: number) => {
    if (count >= leaveAfter) leaving.abort()
  }
  const worker = { model, sequence, meter: { nowMs: () => nowMs++, tally } }
  const end = await generate(job, worker, { say: (piece) => said.push(piece.text), pause }, leaving.signal)
  return { end, said, asked: sequence.asked(), tally }
}

describe('generate', () => {
  it('ends at an end token, which counts and is not shown', async () => {
    const { end, said } = await run([1, 2, 0])
    expect([end, said]).toEqual([{ finishReason: 'stop', tokens: 3 }, ['a', 'b']])
  })

  it('ends at the limit', async () => {
    const { end, said, asked } = await run([1, 2, 3, 4], { tokensMax: 2 })
    expect([end, said, asked]).toEqual([{ finishReason: 'length', tokens: 2 }, ['a', 'b'], 2])
  })

  it('ends at the end of the context: prompt and answer together', async () => {
    const { end } = await run([], { tokensMax: 100 })
    expect(end).toEqual({ finishReason: 'length', tokens: 7 })
  })

  it('ends at a stop string, and asks for no token more', async () => {
    const { end, said, asked } = await run([1, 2, 3, 4], { stops: ['bc'] })
    expect([end, said.join(''), asked]).toEqual([{ finishReason: 'stop', tokens: 3 }, 'a', 3])
  })

  it('says what was held back when the limit comes first', async () => {
    const { end, said } = await run([1, 2, 3], { stops: ['cd'], tokensMax: 3 })
    expect([end, said.join('')]).toEqual([{ finishReason: 'length', tokens: 3 }, 'abc'])
  })

  it('ends at the next token when its client leaves', async () => {
    const { end, asked } = await run([], {}, 3)
    expect([end, asked]).toEqual([null, 3])
  })

  it('measures the prompt up to the first token, and the rest as generation', async () => {
    const { tally } = await run([1, 2, 0])
    expect(tally).toMatchObject({ promptTokens: 3, promptMs: 1, predictedTokens: 3, predictedMs: 2, contextTokensMax: 6 })
  })
})
