// The output of one process in a file, of bounded size: at the limit the file becomes `.1` and a new one begins.

import { closeSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import { places } from './places.ts'

const bytesMax = 8 * 1024 * 1024

export type LogFile = { readonly path: string; readonly append: (chunk: Buffer) => void }

export function openLog(name: string): LogFile {
  mkdirSync(places.logs, { recursive: true })
  const path = resolve(places.logs, `${name}.log`)
  let file = openSync(path, 'w')
  let bytes = 0
  const append = (chunk: Buffer): void => {
    if (bytes + chunk.length > bytesMax) {
      closeSync(file)
      renameSync(path, `${path}.1`)
      file = openSync(path, 'w')
      bytes = 0
    }
    writeSync(file, chunk)
    bytes += chunk.length
  }
  return { path, append }
}
