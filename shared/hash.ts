// Digests and comparisons. Web Crypto only, so the same code runs in workerd and in Node.

const utf8 = new TextEncoder()

/** Bytes as lower-case hexadecimal digits, two each. */
export const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

/** SHA-256 of a text's UTF-8 bytes, as 64 lower-case hexadecimal digits. */
export async function sha256Hex(text: string): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest('SHA-256', utf8.encode(text))))
}

/** Compares two texts in time that depends on their lengths only (both sides here are digests, whose length is no secret). */
export function equalInConstantTime(a: string, b: string): boolean {
  const left = utf8.encode(a)
  const right = utf8.encode(b)
  let difference = left.length ^ right.length
  for (let i = 0; i < left.length; i++) difference |= (left[i] ?? 0) ^ (right[i] ?? 0)
  return difference === 0
}

/**
 * The bucket of a unit in a rollout: first 32 bits of SHA-256(salt, unit) modulo 10,000 (docs/design/overview.md).
 * Salt and unit are separated by a zero byte, so that no two different pairs give the same text.
 */
export async function bucketOf(salt: string, unit: string): Promise<number> {
  const digest = new DataView(await crypto.subtle.digest('SHA-256', utf8.encode(`${salt}\0${unit}`)))
  return digest.getUint32(0) % 10_000
}
