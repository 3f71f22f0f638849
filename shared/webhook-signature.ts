// Signatures of webhooks, told and heard, as Standard Webhooks writes them (specification 1.0.0): HMAC-SHA-256 over `<id>.<seconds>.<body>`.
// Pure but for Web Crypto. The body is signed as the very text that is sent: whoever verifies must not parse it before. Nothing here may put
// a secret into an error.

import { equalInConstantTime } from './hash.ts'
import { assert, err, ok, type Result } from './result.ts'

/** What is signed. `id`: the same each time the event is told, without a full stop; `atMs`: of this attempt, epoch milliseconds. */
export type SignedWebhook = { readonly secret: string; readonly id: string; readonly atMs: number; readonly body: string }

/** malformed_id: empty, or with a full stop, which would let another split of the signed text pass for it. */
export type WebhookFailure =
  | 'secret_missing'
  | 'header_missing'
  | 'malformed_id'
  | 'malformed_timestamp'
  | 'too_old'
  | 'too_new'
  | 'not_authentic'

export const webhookHeaders = { id: 'webhook-id', timestamp: 'webhook-timestamp', signature: 'webhook-signature' } as const

const secretPrefix = 'whsec_'
/** While secrets are exchanged there are two signatures, and of another scheme two more. */
const signaturesMax = 8
const utf8 = new TextEncoder()

/**
 * The three headers of one attempt. The secret is `whsec_` and base64, as Standard Webhooks writes it; any other text stands for its own
 * UTF-8 bytes. Throws where it is empty.
 */
export async function signWebhook({ secret, id, atMs, body }: SignedWebhook): Promise<Record<string, string>> {
  assert(secret !== '', 'a webhook is signed with a secret')
  const seconds = String(Math.floor(atMs / 1000))
  return {
    [webhookHeaders.id]: id,
    [webhookHeaders.timestamp]: seconds,
    [webhookHeaders.signature]: `v1,${await signatureOf(secret, `${id}.${seconds}.${body}`)}`,
  }
}

/**
 * Whether whoever holds the secret sent this, not longer ago (nor further ahead) than `toleranceMs`. One good signature of several is
 * enough, for secrets are exchanged one after the other; those of other schemes than `v1` say nothing.
 */
export async function verifyWebhook(
  told: { readonly headers: { readonly get: (name: string) => string | null }; readonly body: string },
  by: { readonly secret: string; readonly nowMs: number; readonly toleranceMs: number },
): Promise<Result<null, WebhookFailure>> {
  if (by.secret === '') return err('secret_missing')
  const [id, timestamp, signatures] = Object.values(webhookHeaders).map((name) => told.headers.get(name))
  if (typeof id !== 'string' || typeof timestamp !== 'string' || typeof signatures !== 'string') return err('header_missing')
  if (id === '' || id.includes('.')) return err('malformed_id')
  if (!/^\d{1,12}$/.test(timestamp)) return err('malformed_timestamp')
  const ageMs = by.nowMs - Number(timestamp) * 1000
  if (ageMs > by.toleranceMs) return err('too_old')
  if (-ageMs > by.toleranceMs) return err('too_new')
  const expected = `v1,${await signatureOf(by.secret, `${id}.${timestamp}.${told.body}`)}`
  const isGood = signatures
    .split(' ', signaturesMax)
    // Each is compared, also after a good one: the time it takes says nothing.
    .map((signature) => equalInConstantTime(signature, expected))
    .includes(true)
  return isGood ? ok(null) : err('not_authentic')
}

async function signatureOf(secret: string, text: string): Promise<string> {
  const key = await crypto.subtle.importKey('raw', keyBytesOf(secret), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  const signature = new Uint8Array(await crypto.subtle.sign('HMAC', key, utf8.encode(text)))
  return btoa(String.fromCharCode(...signature))
}

function keyBytesOf(secret: string): Uint8Array {
  const bytes = secret.startsWith(secretPrefix) ? bytesOfBase64(secret.slice(secretPrefix.length)) : null
  return bytes ?? utf8.encode(secret)
}

/** null where the text is no base64, or of nothing. */
function bytesOfBase64(text: string): Uint8Array | null {
  try {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0))
    return bytes.length > 0 ? bytes : null
  } catch {
    return null
  }
}
