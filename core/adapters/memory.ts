// The control loop's storage, in its Durable Object. Four keys, each written only when its value changes:
//   published  the last snapshot, its changes, retired cells      at each new generation
//   liveness   { [endpoint]: { url, state } }                     when an endpoint's state changes
//   health     { judged: [endpoint, word][], waiting: events }    when a judgement changed, and when the database has the events
//   copied     { seq, afterKey }                                  when records were copied to KV
// The platform's values end at 2 MB. A larger one is kept as JSON in parts: `published` is then their count, `published/0` the first.
// All are written at once or not at all.

import { limits } from '../../shared/limits.ts'
import { readSnapshot } from '../../shared/wire/snapshot.ts'
import type { Copied, KeptHealth, KeptLiveness, Published } from '../facts.ts'
import type { Memory } from '../ports.ts'

export function memory(storage: DurableObjectStorage): Memory {
  // The output gate already holds calls to ledgers back until a write is durable; waiting for it says so in the code.
  const keep = async (key: string, value: unknown): Promise<void> => {
    const parts = partsOf(JSON.stringify(value))
    if (parts.length === 1) await storage.put(key, value)
    else await storage.put({ [key]: parts.length, ...Object.fromEntries(parts.map((part, index) => [`${key}/${index}`, part])) })
    await storage.sync()
  }
  const kept = async (key: string): Promise<unknown> => {
    const stored = await storage.get(key)
    if (typeof stored !== 'number') return stored
    const parts = await Promise.all(Array.from({ length: stored }, (_, index) => storage.get<string>(`${key}/${index}`)))
    return JSON.parse(parts.join(''))
  }
  return {
    async restore() {
      const published = ((await kept('published')) as Published | undefined) ?? null
      const readable = published !== null && readSnapshot(published.snapshot) !== null
      return {
        published: readable ? published : null,
        keptLiveness: ((await kept('liveness')) as KeptLiveness | undefined) ?? {},
        keptHealth: ((await kept('health')) as KeptHealth | undefined) ?? { judged: [], waiting: [] },
        copied: ((await kept('copied')) as Copied | undefined) ?? { seq: 0, afterKey: null },
        generationFloor: published?.snapshot.generation ?? 0,
      }
    },
    keepPublished: (published) => keep('published', published),
    keepLiveness: (liveness) => keep('liveness', liveness),
    keepHealth: (health) => keep('health', health),
    keepCopied: (copied) => keep('copied', copied),
  }
}

function partsOf(text: string): readonly string[] {
  const most = limits.storedPartCharsMax
  return Array.from({ length: Math.ceil(text.length / most) }, (_, index) => text.slice(index * most, (index + 1) * most))
}
