// The secret by which the other side of a target signs what it reports back.

import { eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import type { TargetId } from '../../shared/ids.ts'
import { targets } from './schema.ts'
import { targetCredentials, webhookSecretOf } from './target-credentials.ts'

/** null where there is no such target, it has no secret, or that cannot be opened. */
export async function targetSecret(d1: D1Database, credentialKey: string | undefined, id: TargetId): Promise<string | null> {
  const columns = { id: targets.id, kind: targets.kind, credential: targets.credential }
  const [target] = await drizzle(d1).select(columns).from(targets).where(eq(targets.id, id)).limit(1)
  const opened = target && (await targetCredentials(credentialKey).open(target))
  return opened?.ok && opened.value ? webhookSecretOf(opened.value) : null
}
