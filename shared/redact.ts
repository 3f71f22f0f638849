// Keeps secrets out of texts: what went wrong with a call is told to people, and servers and libraries repeat what they were sent. Pure.

const detailCharsMax = 500
/** An error's causes are told down to this depth. */
const causesMax = 4
const mark = '[redacted]'

export function redactedText(text: string, secrets: readonly string[]): string {
  return secrets.reduce((left, secret) => left.replaceAll(secret, mark), text)
}

/** An error and what caused it in one line, without the secrets. */
export function detailOf(cause: unknown, secrets: readonly string[]): string {
  const words: string[] = []
  for (let error = cause; words.length < causesMax && error !== undefined; error = error instanceof Error ? error.cause : undefined) {
    words.push(error instanceof Error ? error.message || error.name : typeof error === 'string' ? error : 'no reason given')
  }
  return redactedText(words.join(': '), secrets).slice(0, detailCharsMax)
}
