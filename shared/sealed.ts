// Sealed texts: credentials of endpoints as they lie in D1, in the snapshot and in KV. Core seals, the edge opens, nobody else can read.
// AES-256-GCM with a fresh 96-bit nonce; the endpoint's id is additional data, so a text copied to another row does not open there.
// Written as `v1.<nonce>.<ciphertext>`, both base64url. Nothing here may put a text or a key into an error.

import type { EndpointId } from './ids.ts'
import { err, ok, type Result } from './result.ts'

/** Shorter secrets can be guessed; `openssl rand -base64 32` gives 44 characters. */
export const sealSecretCharsMin = 32

/** Web Crypto's key, whose name differs between the types of Workers and Node. */
export type SealKey = Awaited<ReturnType<typeof crypto.subtle.deriveKey>> & { readonly purpose: 'endpoint credentials' }

/** `malformed`: no sealed text at all; `unknown_format`: of a later version; `not_authentic`: changed, of another endpoint, or under another secret. */
export type OpenFailure = 'malformed' | 'unknown_format' | 'not_authentic'

const utf8 = new TextEncoder()
const nonceBytes = 12
const tagBytes = 16

/**
 * The key made of a deployment's secret (HKDF-SHA-256, RFC 5869; the salt may be empty where the secret is uniformly random,
 * section 3.1, and the info binds the key to this one purpose). Failure: too_short, below sealSecretCharsMin characters.
 */
export async function sealKeyOf(secret: string): Promise<Result<SealKey, 'too_short'>> {
  if (secret.length < sealSecretCharsMin) return err('too_short')
  const material = await crypto.subtle.importKey('raw', utf8.encode(secret), 'HKDF', false, ['deriveKey'])
  const how = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(0), info: utf8.encode('isochrone/endpoint-credential/v1') }
  const key = await crypto.subtle.deriveKey(how, material, { name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt'])
  return ok(key as SealKey)
}

/** The text sealed for one endpoint. Two seals of the same text differ. */
export async function seal(text: string, endpoint: EndpointId, key: SealKey): Promise<string> {
  const nonce = crypto.getRandomValues(new Uint8Array(nonceBytes))
  const sealed = await crypto.subtle.encrypt(cipher(nonce, endpoint), key, utf8.encode(text))
  return `v1.${base64Url(nonce)}.${base64Url(new Uint8Array(sealed))}`
}

/** The text that was sealed for this endpoint under this key. */
export async function open(sealed: string, endpoint: EndpointId, key: SealKey): Promise<Result<string, OpenFailure>> {
  const [version, nonceText, cipherText, ...more] = sealed.split('.')
  if (nonceText === undefined || cipherText === undefined || more.length > 0) return err('malformed')
  if (version !== 'v1') return err(/^v\d+$/.test(version ?? '') ? 'unknown_format' : 'malformed')
  const nonce = bytesOf(nonceText)
  const bytes = bytesOf(cipherText)
  if (nonce?.length !== nonceBytes || !bytes || bytes.length < tagBytes) return err('malformed')
  try {
    const text = await crypto.subtle.decrypt(cipher(nonce, endpoint), key, bytes)
    return ok(new TextDecoder().decode(text))
  } catch {
    return err('not_authentic')
  }
}

const cipher = (nonce: Uint8Array, endpoint: EndpointId) => ({ name: 'AES-GCM', iv: nonce, additionalData: utf8.encode(endpoint) })

function base64Url(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

/** null for anything but base64url as base64Url writes it: one text per value, so that none can be changed and still be the same. */
function bytesOf(text: string): Uint8Array | null {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return null
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0))
    return base64Url(bytes) === text ? bytes : null
  } catch {
    return null
  }
}
