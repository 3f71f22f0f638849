// The list of what a translation had to leave out, as the caller reads it in a header: paths into his own body. Bounded. Pure.

import type { Json } from '../json.ts'

export type Dropped = {
  readonly name: (path: string) => void
  /** Names every field of `fields` that is set and not in `carried`. */
  readonly others: (fields: Json, carried: readonly string[], path: string) => void
  readonly list: () => readonly string[]
}

/** A long conversation leaves out the same field in every block; these tell enough, and a header must stay small. */
const pathsMax = 32

/** Names are the caller's own text on their way into a header: only plain ones may pass. */
const plain = (name: string): string => (/^[\w$-]{1,64}$/.test(name) ? name : '?')

export function droppedPaths(): Dropped {
  const paths: string[] = []
  let more = 0
  const name = (path: string): void => {
    if (paths.length < pathsMax) paths.push(path)
    else more++
  }
  return {
    name,
    others: (fields, carried, path) => {
      for (const [key, value] of Object.entries(fields)) {
        // Clients send null for "not set".
        if (value !== null && !carried.includes(key)) name(path === '' ? plain(key) : `${path}.${plain(key)}`)
      }
    },
    list: () => (more > 0 ? [...paths, `and ${more} more`] : paths),
  }
}
