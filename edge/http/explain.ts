// An explanation as one header line: JSON in ASCII, of a bounded size. Parts that do not fit are dropped, longest first, and named; the log
// has all of it. Pure.

import { limits } from '../../shared/limits.ts'
import type { Explanation } from '../facts.ts'

/** What is given up first when there is too much: the long lists, then what the other headers say too. */
const parts: readonly { readonly name: string; readonly without: (explanation: Explanation) => Explanation }[] = [
  {
    name: 'considered',
    without: (explanation) => ({
      ...explanation,
      rounds: explanation.rounds.map((round) => ({ ...round, asks: round.asks.map((ask) => ({ ...ask, considered: [] })) })),
    }),
  },
  { name: 'cells', without: (explanation) => ({ ...explanation, rounds: explanation.rounds.map((round) => ({ ...round, cells: [] })) }) },
  { name: 'asks', without: (explanation) => ({ ...explanation, rounds: explanation.rounds.map((round) => ({ ...round, asks: [] })) }) },
  { name: 'attempts', without: (explanation) => ({ ...explanation, attempts: [] }) },
  { name: 'rounds', without: (explanation) => ({ ...explanation, rounds: [] }) },
]

/** JSON may hold any character as an escape; a header holds only ASCII. */
const ascii = (text: string): string =>
  text.replace(/[^\x20-\x7e]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** At most limits.explainBytesMax bytes. */
export function explainLine(explanation: Explanation): string {
  let left = explanation
  const dropped: string[] = []
  const line = (): string => ascii(JSON.stringify(dropped.length > 0 ? { ...left, dropped } : left))
  for (const { name, without } of parts) {
    if (line().length <= limits.explainBytesMax) break
    left = without(left)
    dropped.push(name)
  }
  return line()
}
