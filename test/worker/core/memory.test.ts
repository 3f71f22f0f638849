// The control loop's storage in workerd, whose values end at 2 MB.

import { env, runInDurableObject } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import { memory } from '../../../core/adapters/memory.ts'
import type { EndpointEvent, JudgedAt, Published } from '../../../core/facts.ts'
import { nextPublished, contentOf } from '../../../core/publish/snapshot.ts'
import type { CellId, EndpointId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { fleet } from '../../support/fleet.ts'
import type { CoreEnv } from '../../../core/deps.ts'

const published = (endpoints: number): Published => {
  const catalogue = fleet({ endpoints, models: 10, regions: 20, spread: 5 })
  const draft = { content: contentOf(catalogue, new Map()), written: [], auditSeq: 1, generationFloor: 41, retired: [] }
  const first = nextPublished(null, draft, 1_700_000_000_000)
  if (!first) throw new Error('there must be something to publish')
  return first
}
const judged: JudgedAt = { health: 'healthy', sinceMs: 1, reason: 'well', value: null, threshold: null, metric: null, url: 'http://e' }
const event = (n: number): EndpointEvent => ({
  atMs: 1_700_000_000_000 + n,
  endpoint: `an-endpoint-with-quite-a-long-name-${n}` as EndpointId,
  cell: 'organisation/some-model-of-70b-instruct@eu-central-1' as CellId,
  from: 'healthy',
  to: 'ejected',
  reason: 'the connection failed: '.padEnd(400, 'connect ECONNREFUSED – '),
  value: 5,
  threshold: 5,
  metric: 'hard_failures_in_a_row',
})

describe('what is stored', () => {
  it('comes back whole, however large, and small again after it was large', async () => {
    const { CONTROLLER } = env as unknown as CoreEnv
    await runInDurableObject(CONTROLLER.get(CONTROLLER.idFromName('memory')), async (_instance, { storage }) => {
      const kept = memory(storage)
      const health = {
        judged: [['e' as EndpointId, judged]] as const,
        waiting: Array.from({ length: limits.eventsWaitingMax }, (_, n) => event(n)),
      }
      for (const [snapshot, waiting] of [
        [published(3_000), health.waiting],
        [published(3), []],
      ] as const) {
        await kept.keepPublished(snapshot)
        await kept.keepHealth({ ...health, waiting })
        const values = [...(await storage.list()).values()]
        for (const value of values) expect(JSON.stringify(value).length).toBeLessThanOrEqual(1.5 * limits.storedPartCharsMax)
        const back = await kept.restore()
        expect(back.published).toEqual(snapshot)
        expect(back.generationFloor).toBe(42)
        expect(back.keptHealth).toEqual({ ...health, waiting })
      }
    })
  })
})
