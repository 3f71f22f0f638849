import { describe, expect, it } from 'vitest'
import { operationsOf } from '../../../shared/operations.ts'
import { readSnapshot, snapshotFormat } from '../../../shared/wire/snapshot.ts'
import { endpoint, modelRow, snapshotOf } from '../../support/snapshot.ts'

const throughJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

describe('readSnapshot', () => {
  it('reads what core publishes now, all of it', () => {
    const snapshot = snapshotOf(
      [
        endpoint('a', 'x', {
          kind: 'sagemaker',
          operations: ['chat'],
          options: { targetVariant: 'blue' },
          credential: 'v1.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAA',
        }),
      ],
      { models: [modelRow({ firstTokenMsMax: 90_000, strategy: 'weighted-round-robin', affinity: 'prefix', hedging: true })] },
    )
    expect(readSnapshot(throughJson(snapshot))).toEqual(snapshot)
  })

  it('reads format 1, which knew nothing of operations, options, credentials and models', () => {
    const { models: _, ...now } = snapshotOf([endpoint('a', 'x'), endpoint('b', 'x', { kind: 'openai' })])
    const before = {
      ...now,
      format: 1,
      endpoints: now.endpoints.map(({ operations: _o, options: _p, credential: _c, ...old }) => old),
    }
    const read = readSnapshot(throughJson(before))
    expect(read?.models).toEqual([])
    expect(read?.endpoints.map(({ operations, options, credential }) => [operations, options, credential])).toEqual([
      [operationsOf.openai, {}, null],
      [operationsOf.openai, {}, null],
    ])
  })

  it.each([0, 3, '2', null])('does not read format %j', (format) => {
    expect(readSnapshot({ ...snapshotOf([]), format })).toBeNull()
    expect(snapshotFormat).toBe(2)
  })
})
