// An embedding as OpenAI encodes it: numbers, or base64 of little-endian 32-bit floats. Pure.

/** Base64 of a list of finite numbers; null when it is none. */
export function base64Of(embedding: unknown): string | null {
  if (!Array.isArray(embedding)) return null
  const bytes = new Uint8Array(embedding.length * 4)
  const view = new DataView(bytes.buffer)
  for (const [index, value] of embedding.entries()) {
    if (typeof value !== 'number' || !Number.isFinite(value)) return null
    view.setFloat32(index * 4, value, true)
  }
  let text = ''
  // In pieces: a call takes only so many arguments.
  for (let at = 0; at < bytes.length; at += 8_192) text += String.fromCharCode(...bytes.subarray(at, at + 8_192))
  return btoa(text)
}

/** The numbers behind such a base64 text; null when it is none. */
export function floatsOf(embedding: unknown): readonly number[] | null {
  if (typeof embedding !== 'string') return null
  const bytes = bytesOf(embedding)
  if (!bytes || bytes.length % 4 !== 0) return null
  const view = new DataView(bytes.buffer)
  return Array.from({ length: bytes.length / 4 }, (_, index) => view.getFloat32(index * 4, true))
}

function bytesOf(text: string): Uint8Array | null {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
  } catch {
    return null
  }
}
