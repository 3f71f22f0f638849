// Records of API keys: memory, core, and KV's slow copy when core is away. A record is never used when the snapshot names its key
// or tenant as changed since it was read; without core a record that nobody changed is good for as long as the isolate lives,
// and one that somebody did change is good for nothing.

import { limits } from '../../shared/limits.ts'
import { orElse, within, type Clock, type Timer } from '../../shared/time.ts'
import type { KeyId } from '../../shared/ids.ts'
import type { Snapshot } from '../../shared/wire/snapshot.ts'
import { credentialKvKey, readCredential, type CoreCalls, type Credential } from '../../shared/wire/credential.ts'
import type { CredentialLookup, Credentials } from '../ports.ts'

type Entry = { readonly record: Credential | null; readonly readAtMs: number; readonly generation: number }

/** One per isolate, shared by its requests: plain data only, bounded by limits.credentialsHeldMax. */
export type CredentialMemory = Map<KeyId, Entry>

export type CredentialSources = {
  readonly core: CoreCalls
  readonly kv: { readonly get: (key: string, type: 'json') => Promise<unknown> }
  readonly clock: Clock
  readonly timer: Timer
  readonly afterResponse: (work: Promise<unknown>) => void
}

export function credentials(memory: CredentialMemory, sources: CredentialSources): Credentials {
  const { clock, timer } = sources

  const hold = (id: KeyId, entry: Entry): void => {
    memory.delete(id)
    memory.set(id, entry)
    // A Map iterates in insertion order: the first is the one read longest ago.
    const oldest = memory.size > limits.credentialsHeldMax ? memory.keys().next().value : undefined
    if (oldest !== undefined) memory.delete(oldest)
  }

  const remember = (id: KeyId, record: Credential | null, generation: number): CredentialLookup => {
    // Guesses must not push real keys out.
    if (!record && memory.size >= limits.credentialsHeldMax * 0.9) return 'unknown'
    hold(id, { record, readAtMs: clock.nowMs(), generation })
    return lookupOf(record)
  }

  /** One look-up at a time for a record that has grown old: the others use it meanwhile. */
  const touch = (id: KeyId, entry: Entry): void => void memory.set(id, { ...entry, readAtMs: clock.nowMs() })

  return {
    find: async (id, snapshot) => {
      const held = memory.get(id)
      const current = held && !changedSince(held, id, snapshot) ? held : null
      // The list of changes forgets; without core this record would be good again then.
      if (held && !current) memory.delete(id)
      if (current && clock.nowMs() - current.readAtMs < freshFor(current)) return lookupOf(current.record)

      const asked = sources.core.credential(id).then(recordOf)
      const reading = within(orElse(asked, 'failed' as const), limits.credentialWaitMsMax, 'failed' as const, timer)
      if (current?.record) {
        // Nobody has changed it: it holds, and is read again behind the request. A core that hangs must not be felt.
        touch(id, current)
        sources.afterResponse(reading.then((read) => (read === 'failed' ? null : remember(id, read, snapshot.generation))))
        return lookupOf(current.record)
      }
      const read = await reading
      if (read !== 'failed') return remember(id, read, snapshot.generation)

      const copy = await within(
        orElse(sources.kv.get(credentialKvKey(id), 'json'), 'failed' as const),
        limits.credentialWaitMsMax,
        'failed' as const,
        timer,
      )
      const record = copy === 'failed' ? null : readCredential(copy)
      // The copy may be older than a change the snapshot tells of: then nobody can say what holds, and the answer is not "yes".
      const isDoubtful = record !== null && snapshot.changed.some((change) => change.id === id || change.id === record.tenant)
      if (!record || isDoubtful) return 'unreachable'
      // Held as one that has grown old and gives way to any change: core is asked again behind the next request, and nobody waits for it.
      hold(id, { record, readAtMs: 0, generation: 0 })
      return { found: record }
    },
  }
}

/** Core's answer as this edge understands it: what an older core does not tell has its default; a record of a later format is no answer. */
function recordOf(told: unknown): Credential | null {
  const record = told === null ? null : readCredential(told)
  if (told !== null && record === null) throw new Error('credentials: core told a record of an unknown format')
  return record
}

const lookupOf = (record: Credential | null): CredentialLookup => (record ? { found: record } : 'unknown')

const freshFor = (entry: Entry): number => (entry.record ? limits.credentialFreshMs : limits.credentialUnknownMs)

/** Whether the snapshot names the key, or its tenant, as written after the entry was read. */
function changedSince(entry: Entry, id: KeyId, snapshot: Snapshot): boolean {
  const tenant = entry.record?.tenant ?? null
  return snapshot.changed.some((change) => change.generation > entry.generation && (change.id === id || change.id === tenant))
}
