// cli/engine/score.ts — is an answer right? The scoring under which the figures in atlas/README.md were measured.

/** One line of an evaluation set. */
export type EvalRow = {
  readonly id: string
  readonly kind: string
  readonly prompt: string
  readonly expected: string | readonly string[]
  readonly match: 'contains' | 'exact'
}

/** Case, accents and punctuation aside; a dot stays only before a letter or a digit (".ke", "2.5"). One space at both ends. */
export function normalise(text: string): string {
  const plain = text
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[\u0300-\u036f]/g, '')
    .replace(/[^a-z0-9.]+/g, ' ')
    .replace(/\.(?![a-z0-9])/g, ' ')
  return ` ${plain} `.replace(/ +/g, ' ')
}

/** `exact`: the texts are equal once normalised; `contains`: every expected text is in the answer, as whole words. */
export function isRight(row: Pick<EvalRow, 'expected' | 'match'>, answer: string): boolean {
  const said = normalise(answer)
  const expected = (typeof row.expected === 'string' ? [row.expected] : row.expected).map(normalise)
  return row.match === 'exact' ? said === expected[0] : expected.every((text) => said.includes(text))
}
