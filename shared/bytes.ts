// Bytes that came in pieces.

/** The pieces as one; a single one as it is, without a copy. `bytes`: how many there are in all. */
export function concat(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const [only] = chunks
  if (chunks.length === 1 && only) return only
  const all = new Uint8Array(bytes)
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}
