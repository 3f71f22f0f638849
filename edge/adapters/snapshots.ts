// The snapshot as one isolate knows it: memory, the origin's home object, KV's last-known-good. Nobody polls: ledger answers bring news, and a
// request that finds the memory unconfirmed for a second asks the home.
// KV's copy must be signed where the deployment has a secret; one that is not counts as absent.

import { limits } from '../../shared/limits.ts'
import { readSigned, type Signer } from '../../shared/signature.ts'
import { orElse, within, type Clock, type Timer } from '../../shared/time.ts'
import type { OriginName } from '../../shared/ids.ts'
import { apply } from '../../shared/wire/delta.ts'
import { homeNameOf, type LedgerCalls } from '../../shared/wire/ledger.ts'
import { readSnapshot, snapshotKvKey, type Snapshot } from '../../shared/wire/snapshot.ts'
import type { RequestLine, Snapshots } from '../ports.ts'

/** One per isolate, shared by its requests: plain data only. */
export type SnapshotMemory = {
  snapshot: Snapshot | null
  confirmedAtMs: number
  /** When the home was last asked for a check, whether it answered or not. */
  checkedAtMs?: number
  /** Whether this isolate's log has already heard of a copy that was refused. */
  refusalLogged?: boolean
}

export const emptySnapshotMemory = (): SnapshotMemory => ({ snapshot: null, confirmedAtMs: 0 })

export type SnapshotSources = {
  readonly home: (name: string) => Pick<LedgerCalls, 'snapshotSince'>
  readonly kv: { readonly get: (key: string, type: 'json') => Promise<unknown> }
  /** Gives null where the deployment has no secret. */
  readonly signer: () => Promise<Signer | null>
  readonly clock: Clock
  readonly timer: Timer
  readonly log: (line: RequestLine) => void
}

export function snapshots(memory: SnapshotMemory, sources: SnapshotSources): Snapshots {
  const { clock, timer } = sources

  const adopt: Snapshots['adopt'] = ({ generation, snapshot, deltas = [] }): void => {
    const known = memory.snapshot?.generation ?? 0
    if (snapshot && snapshot.generation > known) memory.snapshot = snapshot
    // Those of before what another answer has brought meanwhile do not fit, and are not needed.
    for (const delta of deltas) memory.snapshot = (memory.snapshot && apply(memory.snapshot, delta)) ?? memory.snapshot
    // An object that lags behind us confirms nothing.
    if (generation >= known && generation > 0) memory.confirmedAtMs = clock.nowMs()
  }

  const askHome = async (origin: OriginName, generation: number, withinMs: number = limits.snapshotWaitMsMax): Promise<void> => {
    const answer = await within(orElse(sources.home(homeNameOf(origin)).snapshotSince(generation), null), withinMs, null, timer)
    if (answer) adopt(answer)
  }

  /** Ledger answers bring news to a busy isolate; a quiet one, whose requests may need no ledger, has to look for itself. */
  const check = async (known: Snapshot, origin: OriginName): Promise<void> => {
    const nowMs = clock.nowMs()
    if (nowMs - Math.max(memory.confirmedAtMs, memory.checkedAtMs ?? 0) < limits.snapshotTrustMs) return
    memory.checkedAtMs = nowMs
    await askHome(origin, known.generation, limits.snapshotCheckMsMax)
  }

  const readCopy = async (): Promise<Snapshot | null> => {
    const copy = await within(orElse(sources.kv.get(snapshotKvKey, 'json'), null), limits.snapshotWaitMsMax, null, timer)
    if (copy === null) return null
    const told = await readSigned(copy, await sources.signer())
    if (told === 'refused' && !memory.refusalLogged) {
      memory.refusalLogged = true
      sources.log({ message: 'snapshots: the copy in KV is not signed under this CREDENTIAL_KEY, and is not used' })
    }
    return readSnapshot(told)
  }

  const newest = (known: Snapshot): Snapshot | null =>
    memory.snapshot && memory.snapshot.generation > known.generation ? memory.snapshot : null

  return {
    adopt,
    newest,
    current: async (origin) => {
      if (memory.snapshot) await check(memory.snapshot, origin)
      else await askHome(origin, 0)
      if (memory.snapshot) return memory.snapshot
      const stored = await readCopy()
      // Not confirmed: KV may be minutes behind, so the next refusal looks again. And another request may have found a newer one meanwhile.
      if (stored) adopt({ generation: 0, snapshot: stored })
      return memory.snapshot
    },
    newerThan: async (known, origin) => {
      const held = newest(known)
      if (held) return held
      if (clock.nowMs() - memory.confirmedAtMs < limits.snapshotFreshMs) return null
      await askHome(origin, known.generation)
      return newest(known)
    },
  }
}
