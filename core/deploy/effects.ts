// Which versions rollouts want deployed and which not, by the rows of the outbox. Pure. Order is the outbox's own: of one version the last
// word counts, for generations are of one rollout and say nothing about another's.

import type { VersionId } from '../../shared/ids.ts'
import type { OutboxRow } from '../facts.ts'

/** The last word about one version. `rows`: those that are done with it. */
export type Wish = {
  readonly version: VersionId
  readonly isWanted: boolean
  readonly rows: readonly OutboxRow[]
}

/** `unreadable`: rows that say nothing anybody could do; only a bug writes such. */
export type Wishes = { readonly wishes: readonly Wish[]; readonly unreadable: readonly OutboxRow[] }

export function wishesOf(rows: readonly OutboxRow[]): Wishes {
  const wishes = new Map<VersionId, Wish>()
  const unreadable: OutboxRow[] = []
  for (const row of rows.toSorted((a, b) => a.seq - b.seq)) {
    const version = versionOf(row)
    if (version === null) unreadable.push(row)
    else wishes.set(version, { version, isWanted: row.kind === 'deploy', rows: [...(wishes.get(version)?.rows ?? []), row] })
  }
  return { wishes: [...wishes.values()], unreadable }
}

function versionOf({ kind, payload }: OutboxRow): VersionId | null {
  if (kind !== 'deploy' && kind !== 'undeploy') return null
  try {
    const { version } = JSON.parse(payload) as { readonly version?: unknown }
    return typeof version === 'string' && version !== '' ? (version as VersionId) : null
  } catch {
    return null
  }
}
