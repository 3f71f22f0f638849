// Keeps an endpoint's secrets out of what others read: details of failures go to the log, bodies of errors to callers. A server that
// shows the headers it was sent in an error page is not rare.

import { limits } from '../../shared/limits.ts'
import { redactedText } from '../../shared/redact.ts'

export { detailOf, redactedText } from '../../shared/redact.ts'

/** At most limits.errorBodyBytesMax of an error's body, as text without the secrets. What cannot be read counts as the end. */
export async function redactedError(body: ReadableStream<Uint8Array> | null, secrets: readonly string[]): Promise<string> {
  if (!body) return ''
  // A secret that begins within the bound is read to its end, so that it is recognised.
  const longest = secrets.reduce((most, secret) => Math.max(most, secret.length), 0)
  const text = redactedText(await readText(body, limits.errorBodyBytesMax + longest), secrets)
  return text.slice(0, limits.errorBodyBytesMax)
}

/** As redactedError, read only when somebody reads it, for whoever reads has the bound on time. */
export function redactedErrorBody(body: ReadableStream<Uint8Array> | null, secrets: readonly string[]): ReadableStream<Uint8Array> | null {
  if (!body) return null
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const text = await redactedError(body, secrets)
        if (text !== '') controller.enqueue(new TextEncoder().encode(text))
        controller.close()
      },
      cancel: (reason) => (body.locked ? undefined : body.cancel(reason)),
    },
    { highWaterMark: 0 },
  )
}

async function readText(body: ReadableStream<Uint8Array>, bytesMax: number): Promise<string> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  try {
    for (let bytes = 0; bytes < bytesMax;) {
      const { done, value } = await reader.read()
      if (done) return text + decoder.decode()
      bytes += value.length
      text += decoder.decode(value, { stream: true })
    }
    await reader.cancel()
  } catch {
    // A broken error body is an error all the same; what came of it is enough.
  }
  return text
}
