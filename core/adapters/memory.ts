// The control loop's storage, in its Durable Object. Five keys, each written only when its value changes:
//   published  the last snapshot, its changes, retired cells      at each new generation
//   liveness   { [endpoint]: { url, state } }                     when an endpoint's state changes
//   health     { judged: [endpoint, word][], waiting: events }    when a judgement changed, and when the database has the events
//   rollouts   { looks: [rollout, memory][] }                     when blocks were judged, which is every ten seconds of a rollout
//   copied     { seq, afterKey }                                  when records were copied to KV
// A value that outgrows the platform's 2 MB is kept in parts (shared/stored-parts.ts).

import { partsToStore, storedWhole } from '../../shared/stored-parts.ts'
import { readSnapshot } from '../../shared/wire/snapshot.ts'
import type { Copied, KeptHealth, KeptLiveness, KeptRollouts, Published } from '../facts.ts'
import type { Memory } from '../ports.ts'

export function memory(storage: DurableObjectStorage): Memory {
  // The output gate already holds calls to ledgers back until a write is durable; waiting for it says so in the code.
  const keep = async (key: string, value: unknown): Promise<void> => {
    await storage.put(partsToStore(key, value))
    await storage.sync()
  }
  const kept = (key: string): Promise<unknown> => storedWhole((name) => storage.get(name), key)
  return {
    async restore() {
      const published = ((await kept('published')) as Published | undefined) ?? null
      const readable = published !== null && readSnapshot(published.snapshot) !== null
      return {
        published: readable ? published : null,
        keptLiveness: ((await kept('liveness')) as KeptLiveness | undefined) ?? {},
        keptHealth: ((await kept('health')) as KeptHealth | undefined) ?? { judged: [], waiting: [] },
        keptRollouts: ((await kept('rollouts')) as KeptRollouts | undefined) ?? { looks: [] },
        copied: ((await kept('copied')) as Copied | undefined) ?? { seq: 0, afterKey: null },
        generationFloor: published?.snapshot.generation ?? 0,
      }
    },
    keepPublished: (published) => keep('published', published),
    keepLiveness: (liveness) => keep('liveness', liveness),
    keepHealth: (health) => keep('health', health),
    keepRollouts: (rollouts) => keep('rollouts', rollouts),
    keepCopied: (copied) => keep('copied', copied),
  }
}
