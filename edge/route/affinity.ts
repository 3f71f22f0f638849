// What keeps a request near its like, by the model's rule. Pure. The key goes to ledgers, so it is a hash: nobody needs the caller's own words.

import { hash53 } from '../../shared/rendezvous.ts'
import type { TenantId } from '../../shared/ids.ts'
import type { Affinity } from '../../shared/wire/ledger.ts'
import type { AffinityRule } from '../../shared/wire/snapshot.ts'
import { prefixBlocks, prefixKey } from './prefix.ts'

export type Likeness = {
  readonly tenant: TenantId
  /** The session header, else the dialect's own user field; null when the caller named neither. */
  readonly session: string | null
  /** The beginning of the prompt, as far as it is text. */
  readonly prompt: () => string
}

/** Tenants are kept apart: equal session names of two of them are two sessions, and equal prompts two beginnings (prefix.ts). */
const sessionKey = (tenant: TenantId, session: string): string => `session:${hash53(`${tenant}\0${session}`).toString(36)}`

/**
 * null: the request may go anywhere. Under the rule `prefix` a named session is its own prefix: what it sends next begins with what it sent
 * before, which its first blocks alone would not tell from every other conversation with the same instructions.
 */
export function affinityOf(rule: AffinityRule, { tenant, session, prompt }: Likeness): Affinity | null {
  if (rule === 'none') return null
  const named = session === null ? null : sessionKey(tenant, session)
  if (rule === 'session') return named === null ? null : { kind: 'session', key: named, blocks: [] }
  const blocks = prefixBlocks(tenant, prompt())
  const key = named ?? prefixKey(blocks)
  if (key === null) return null
  return blocks.length > 0 ? { kind: 'prefix', key, blocks } : { kind: 'session', key, blocks: [] }
}
