// A digest of a text that comes in pieces: the same whatever the pieces, and kept in two numbers. For telling answers apart, not against
// somebody who wants collisions. Pure but for these two numbers.

import { hash53 } from '../../shared/rendezvous.ts'

export type TextHash = {
  readonly add: (piece: string) => void
  /** 53 bits in base 36. */
  readonly digest: () => string
}

/** Two FNV-1a lanes over UTF-16 code units, as in hash53, which finishes them. */
export function textHash(): TextHash {
  let low = 0x811c9dc5
  let high = 0x9e3779b9
  return {
    add: (piece) => {
      for (let at = 0; at < piece.length; at++) {
        const unit = piece.charCodeAt(at)
        low = Math.imul(low ^ unit, 0x01000193)
        high = Math.imul(high ^ unit, 0x85ebca6b)
      }
    },
    digest: () => hash53(`${low}:${high}`).toString(36),
  }
}
