// Names and ids as branded strings, so that one kind cannot be passed for another; and the format of an API key.

declare const brand: unique symbol
type Brand<Name extends string> = string & { readonly [brand]: Name }

export type RegionName = Brand<'region'>
export type ModelName = Brand<'model'>
export type VersionId = Brand<'version'>
export type EndpointId = Brand<'endpoint'>
export type CellId = Brand<'cell'>
export type TenantId = Brand<'tenant'>
export type KeyId = Brand<'key'>
export type LeaseId = Brand<'lease'>
export type RequestId = Brand<'request'>
export type OriginName = Brand<'origin'>
export type RolloutId = Brand<'rollout'>
export type TargetId = Brand<'target'>
export type WebhookId = Brand<'webhook'>

/** Development, staging or production; every API key belongs to one. */
export const environments = ['development', 'staging', 'production'] as const
export type Environment = (typeof environments)[number]

/** Every endpoint belongs to exactly one cell: all endpoints of one model in one region. */
export const cellIdOf = (model: ModelName, region: RegionName): CellId => `${model}@${region}` as CellId

/** Crockford's base 32 without i, l, o, u: safe in URLs, headers and key parts, which are split at underscores. */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'

/** Encodes bytes five bits at a time: 10 bytes give 16 characters, 20 give 32. A rest of fewer than five bits is padded with zeros. */
export function base32(bytes: Uint8Array): string {
  let text = ''
  let held = 0
  let heldBits = 0
  for (const byte of bytes) {
    held = (held << 8) | byte
    heldBits += 8
    while (heldBits >= 5) {
      heldBits -= 5
      text += alphabet[(held >> heldBits) & 31]
    }
    held &= (1 << heldBits) - 1
  }
  return heldBits > 0 ? text + alphabet[(held << (5 - heldBits)) & 31] : text
}

/** An API key is `iso_<environment>_<id>_<secret>`: 16 characters of id (80 bits) for the look-up, 32 of secret (160 bits) for the proof. */
export type ApiKey = { readonly environment: Environment; readonly id: KeyId; readonly secret: string }

const keyShape = /^iso_(development|staging|production)_([0-9a-hjkmnp-tv-z]{16})_([0-9a-hjkmnp-tv-z]{32})$/

/** Reads the text of an API key; null when it is not one. Says nothing about whether the key exists. */
export function readApiKey(text: string): ApiKey | null {
  const match = keyShape.exec(text)
  if (!match) return null
  return { environment: match[1] as Environment, id: match[2] as KeyId, secret: match[3] as string }
}

export const writeApiKey = (key: ApiKey): string => `iso_${key.environment}_${key.id}_${key.secret}`
