// Signed texts: the snapshot on its way from core to ledgers and isolates. Whoever can write to KV, or call a ledger, could otherwise
// send all traffic where he likes. HMAC-SHA-256 (RFC 2104); the key is made of the deployment's secret and serves one purpose alone.
// A deployment without a secret signs nothing and believes what it reads.

import { equalInConstantTime, hex } from './hash.ts'
import { sealSecretCharsMin } from './sealed.ts'

export type Signer = {
  /** 64 lower-case hexadecimal digits over the text's UTF-8 bytes. */
  sign(text: string): Promise<string>
  verify(text: string, signature: string): Promise<boolean>
}

/** A text as it lies in KV. `signature` is null where the deployment that wrote it has no secret. */
export type Signed = { readonly signature: string | null; readonly text: string }

const utf8 = new TextEncoder()

const snapshotPurpose = 'isochrone/snapshot/v1'

/**
 * The signer of a deployment for one purpose; null without a secret, or with one that is too short to be one (shared/sealed.ts has the same
 * bound). Key: HKDF-SHA-256 (RFC 5869) of the secret, with the purpose as info, so that it is not the key that seals credentials.
 */
export async function signerOf(secret: string | undefined, purpose = snapshotPurpose): Promise<Signer | null> {
  if (secret === undefined || secret.length < sealSecretCharsMin) return null
  const material = await crypto.subtle.importKey('raw', utf8.encode(secret), 'HKDF', false, ['deriveKey'])
  const how = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(0), info: utf8.encode(purpose) }
  const key = await crypto.subtle.deriveKey(how, material, { name: 'HMAC', hash: 'SHA-256', length: 256 }, false, ['sign'])
  const sign = async (text: string): Promise<string> => hex(new Uint8Array(await crypto.subtle.sign('HMAC', key, utf8.encode(text))))
  return { sign, verify: async (text, signature) => equalInConstantTime(await sign(text), signature) }
}

/** A text with its signature, as it is written to KV. */
export async function writeSigned(text: string, signer: Signer | null): Promise<Signed> {
  return { signature: signer ? await signer.sign(text) : null, text }
}

/**
 * What a value read from KV says, parsed; 'refused' when there is a secret and it is not signed under it.
 * Without a secret the bare document is taken too, as it was written before there were signatures.
 */
export async function readSigned(value: unknown, signer: Signer | null): Promise<unknown> {
  const { signature, text } = isSigned(value) ? value : { signature: null, text: null }
  if (signer && (text === null || signature === null || !(await signer.verify(text, signature)))) return 'refused'
  if (text === null) return value
  try {
    return JSON.parse(text)
  } catch {
    return 'refused'
  }
}

function isSigned(value: unknown): value is Signed {
  if (typeof value !== 'object' || value === null || !('text' in value) || !('signature' in value)) return false
  return typeof value.text === 'string' && (value.signature === null || typeof value.signature === 'string')
}
