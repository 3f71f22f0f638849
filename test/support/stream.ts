// Bodies for tests: streams of given chunks, and readers to the end.

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const bytes = (text: string): Uint8Array => encoder.encode(text)
export const text = (chunks: readonly Uint8Array[]): string => chunks.map((chunk) => decoder.decode(chunk)).join('')

/** A stream of the chunks, that then ends, fails with an error, or goes on for ever. */
export function streamOf(
  chunks: readonly (string | Uint8Array)[],
  then: 'end' | 'hang' | Error = 'end',
  onCancel: () => void = () => undefined,
) {
  const left = [...chunks]
  return new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const chunk = left.shift()
      if (chunk !== undefined) controller.enqueue(typeof chunk === 'string' ? bytes(chunk) : chunk)
      else if (then === 'end') controller.close()
      else if (then instanceof Error) controller.error(then)
      else return new Promise(() => undefined)
      return undefined
    },
    cancel: onCancel,
  })
}

/** Everything a body gives; `failed` when it broke off. */
export async function readAll(body: ReadableStream<Uint8Array> | Uint8Array): Promise<{ text: string; chunks: number; failed: boolean }> {
  if (body instanceof Uint8Array) return { text: decoder.decode(body), chunks: 1, failed: false }
  const chunks: Uint8Array[] = []
  try {
    for await (const chunk of body) chunks.push(chunk)
    return { text: text(chunks), chunks: chunks.length, failed: false }
  } catch {
    return { text: text(chunks), chunks: chunks.length, failed: true }
  }
}
