// Faults: what is accepted, and whom they hit.
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seededChance } from '../../cli/engine/chance.ts'
import { openFaultBox } from '../../cli/engine/fault-box.ts'
import { drawFault, noFaults, readFaults, verdictAfter, type Fault } from '../../cli/engine/faults.ts'

describe('readFaults', () => {
  it('fills in what is left out, and reads a boolean hang as a share', () => {
    expect(readFaults({ latencyMs: 30, hangBeforeFirstToken: true })).toEqual({
      ok: true,
      value: { ...noFaults, latencyMs: 30, hangBeforeFirstToken: 1 },
    })
  })

  it.each([
    [{ latencyMs: -1 }, "Invalid 'latencyMs': must be a whole number from 0 to 60000"],
    [{ errorShare: 1.5 }, "Invalid 'errorShare': must be a share from 0 to 1"],
    [{ errorsInARowMax: 0 }, "Invalid 'errorsInARowMax': must be a whole number from 1 to 1000000"],
    [{ retryAfterS: 1.5 }, "Invalid 'retryAfterS': must be a whole number from 0 to 3600"],
    [{ slowFactor: 0.5 }, "Invalid 'slowFactor': must be a number from 1 to 100"],
    [{ metricsStatus: 200 }, "Invalid 'metricsStatus': must be a whole number from 400 to 599"],
    [{ closed: 1 }, "Invalid 'closed': must be true or false"],
    [{ errorStatus: 200 }, "Invalid 'errorStatus': must be a whole number from 400 to 599"],
    [{ stallAfterTokens: 0 }, "Invalid 'stallAfterTokens': must be a whole number from 1 to 1000000"],
    [{ cutAfterTokens: '3' }, "Invalid 'cutAfterTokens': must be a whole number from 1 to 1000000"],
    [{ hangBeforeFirstToken: 'yes' }, "Invalid 'hangBeforeFirstToken': must be a share from 0 to 1"],
    [{ healthStatus: 99 }, "Invalid 'healthStatus': must be a whole number from 200 to 599"],
    [{ latency: 3 }, "Unknown field 'latency'"],
    [[], 'The body must be a JSON object'],
    [null, 'The body must be a JSON object'],
  ])('refuses %j', (body, message) => {
    const read = readFaults(body)
    expect(read.ok ? null : read.problem.message).toBe(message)
  })
})

describe('drawFault', () => {
  const faults = { ...noFaults, errorShare: 0.25, hangBeforeFirstToken: 0.5 }

  it('repeats under the same seed', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const draw = () => {
          const chance = seededChance(seed)
          return Array.from({ length: 20 }, () => drawFault(faults, chance).kind)
        }
        expect(draw()).toEqual(draw())
      }),
    )
  })

  it('hits the shares asked for', () => {
    const chance = seededChance(7)
    const kinds = Array.from({ length: 10_000 }, () => drawFault(faults, chance).kind)
    const shareOf = (kind: Fault['kind']): number => kinds.filter((one) => one === kind).length / kinds.length
    // 10,000 draws: five standard errors are 0.025.
    expect(Math.abs(shareOf('error') - 0.25)).toBeLessThan(0.025)
    expect(Math.abs(shareOf('hang') - 0.75 * 0.5)).toBeLessThan(0.025)
  })

  it('spares the request after so many errors in a row, and takes its chance for it all the same', () => {
    const [chance, same] = [seededChance(1), seededChance(1)]
    const failing = { ...noFaults, errorShare: 1, errorsInARowMax: 4 }
    expect(drawFault(failing, chance, 3).kind).toBe('error')
    expect(drawFault(failing, chance, 4).kind).toBe('run')
    for (let draws = 0; draws < 4; draws++) same()
    expect(chance()).toBe(same())
  })

  it('names the time to come back with its errors, and the pace with its runs', () => {
    const chance = seededChance(1)
    expect(drawFault({ ...noFaults, errorShare: 1, errorStatus: 429, retryAfterS: 2 }, chance)).toEqual({
      kind: 'error',
      status: 429,
      retryAfterS: 2,
    })
    expect(drawFault({ ...noFaults, slowFactor: 4 }, chance)).toMatchObject({ kind: 'run', slowFactor: 4 })
  })

  it.each([0, 1])('is certain at share %d', (share) => {
    const chance = seededChance(1)
    const kinds = Array.from({ length: 200 }, () => drawFault({ ...noFaults, errorShare: share }, chance).kind)
    expect(new Set(kinds)).toEqual(new Set([share === 1 ? 'error' : 'run']))
  })
})

it.each([
  [{ stallAfterTokens: 3, cutAfterTokens: null }, ['go-on', 'go-on', 'stall', 'stall']],
  [{ stallAfterTokens: null, cutAfterTokens: 2 }, ['go-on', 'cut', 'cut', 'cut']],
  [{ stallAfterTokens: 2, cutAfterTokens: 3 }, ['go-on', 'stall', 'cut', 'cut']],
  [{ stallAfterTokens: null, cutAfterTokens: null }, ['go-on', 'go-on', 'go-on', 'go-on']],
] as const)('verdictAfter %j', (limits, verdicts) => {
  const fault = { kind: 'run', slowFactor: 1, ...limits } as const
  expect([1, 2, 3, 4].map((tokens) => verdictAfter(fault, tokens))).toEqual(verdicts)
})

it('a box lets no more errors through in a row than asked for, whatever the share', () => {
  fc.assert(
    fc.property(
      fc.nat(),
      fc.integer({ min: 1, max: 6 }),
      fc.double({ min: 0.3, max: 1, noNaN: true }),
      (seed, errorsInARowMax, errorShare) => {
        const box = openFaultBox({ ...noFaults, errorShare, errorsInARowMax }, seed)
        const kinds = Array.from({ length: 300 }, () => box.draw().kind)
        const longest = Math.max(
          ...kinds
            .join(' ')
            .split('run')
            .map((run) => run.match(/error/g)?.length ?? 0),
        )
        expect(longest).toBeLessThanOrEqual(errorsInARowMax)
        expect(kinds).toContain('error')
      },
    ),
  )
})

it('a box starts its chance again with every change', () => {
  const box = openFaultBox(noFaults, 3)
  const faults = { ...noFaults, errorShare: 0.5 }
  const draw = () => {
    box.set(faults)
    return Array.from({ length: 30 }, () => box.draw().kind)
  }
  expect(draw()).toEqual(draw())
})
