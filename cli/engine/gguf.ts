// cli/engine/gguf.ts — which files are models and what they are called: the stem of the file's name. Pure.
import { basename } from 'node:path'

const extension = '.gguf'

/** The name a file is served under, or null when it is no model file. */
export function nameOf(file: string): string | null {
  const base = basename(file)
  return base.endsWith(extension) && base.length > extension.length ? base.slice(0, -extension.length) : null
}

export const fileOf = (name: string): string => name + extension

/** How much of a file `isGguf` must see. */
export const headerBytes = 8

/** Whether a file that starts with `bytes` is in the GGUF format, in a version that llama.cpp reads (2 or 3, little-endian). */
export function isGguf(bytes: Uint8Array): boolean {
  const [g, g2, u, f, version, ...rest] = bytes
  const isMagic = g === 0x47 && g2 === 0x47 && u === 0x55 && f === 0x46
  return isMagic && (version === 2 || version === 3) && rest.slice(0, 3).every((byte) => byte === 0)
}
