// The output of one process in a file, of bounded size: at the limit the file becomes `.1` and a new one begins.
// A process that is started again in one run goes on in the same file: its last words before it died are what one looks for.

import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import { places } from './places.ts'

const bytesMax = 8 * 1024 * 1024

export type LogFile = { readonly path: string; readonly append: (chunk: Buffer) => void; readonly close: () => void }

/** Files begun by this run; the first opening of a run starts anew. */
const begun = new Set<string>()

export function openLog(name: string): LogFile {
  mkdirSync(places.logs, { recursive: true })
  const path = resolve(places.logs, `${name}.log`)
  let file: number | null = openSync(path, begun.has(path) ? 'a' : 'w')
  let bytes = fstatSync(file).size
  begun.add(path)
  const append = (chunk: Buffer): void => {
    if (file === null) return
    if (bytes + chunk.length > bytesMax) {
      closeSync(file)
      renameSync(path, `${path}.1`)
      file = openSync(path, 'w')
      bytes = 0
    }
    writeSync(file, chunk)
    bytes += chunk.length
  }
  const close = (): void => {
    if (file !== null) closeSync(file)
    file = null
  }
  return { path, append, close }
}
