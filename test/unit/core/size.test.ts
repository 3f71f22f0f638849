// How large a snapshot becomes: a thousand endpoints must stay small on the wire, and fit where an object keeps it.

import { gzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { contentOf, nextPublished } from '../../../core/publish/snapshot.ts'
import { endpointHealths } from '../../../shared/wire/snapshot.ts'
import { fleet } from '../../support/fleet.ts'

/** Every model in every region: the most cells, and the longest rows of fractions. */
const catalogue = fleet({ endpoints: 1_000, models: 40, regions: 20, spread: 20 })
const wireBytesMax = 256 * 1024
/** The most that a Durable Object keeps under one key. */
const storedBytesMax = 2 * 1024 * 1024

it('a thousand endpoints of forty models in twenty regions are under 256 KB compressed, and can be stored', () => {
  const judged = new Map(
    catalogue.endpoints.map(({ id }, n) => [id, { health: endpointHealths[n % endpointHealths.length] ?? 'unknown' }] as const),
  )
  const draft = { content: contentOf(catalogue, judged), written: [], auditSeq: 1, generationFloor: 0, retired: [] }
  const published = nextPublished(null, draft, 1_700_000_000_000)
  const text = JSON.stringify(published?.snapshot)
  expect(published?.snapshot.endpoints).toHaveLength(1_000)
  expect(new Set(published?.snapshot.endpoints.map(({ cell }) => cell)).size).toBe(800)

  expect(gzipSync(text).byteLength).toBeLessThan(wireBytesMax)
  expect(Buffer.byteLength(JSON.stringify(published))).toBeLessThan(storedBytesMax)
})
