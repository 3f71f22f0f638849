// The record by which an API key is checked: what core hands to the edge. Never the secret, only its SHA-256.

import * as v from 'valibot'
import { environments, type KeyId, type TenantId } from '../ids.ts'

export const credentialFormat = 1

export const credentialSchema = v.object({
  format: v.picklist([credentialFormat]),
  id: v.custom<KeyId>((value) => typeof value === 'string'),
  tenant: v.custom<TenantId>((value) => typeof value === 'string'),
  environment: v.picklist(environments),
  /** 64 hexadecimal digits. */
  secretSha256: v.string(),
  /** Models the key may use; null means all of its environment. */
  models: v.nullable(v.array(v.string())),
  expiresAtMs: v.nullable(v.number()),
  /** The key, or its tenant, was switched off. */
  disabled: v.boolean(),
  /** What the key may do beyond asking. */
  scopes: v.optional(v.array(v.string()), []),
  /** The jurisdiction that the tenant's requests must not leave; null: none. */
  residency: v.optional(v.nullable(v.string()), null),
})

/** explain: see why a request went where it went. critical: ask with the highest priority. */
export const scopes = ['explain', 'critical'] as const
export type Scope = (typeof scopes)[number]

export type Credential = Readonly<v.InferOutput<typeof credentialSchema>>

export function readCredential(value: unknown): Credential | null {
  const parsed = v.safeParse(credentialSchema, value)
  return parsed.success ? parsed.output : null
}

/** KV key of the slow copy of a key's record, for isolates that start while core is away. */
export const credentialKvKey = (id: KeyId): string => `credential:${id}`

/** Core's entrypoint for the edge. */
export type CoreCalls = {
  /** The record of a key; null when there is none. */
  credential(id: string): Promise<Credential | null>
}
