// The body of a public request: read from the wire once, within a bound of bytes and time, and kept for whoever asks again.

import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { within, type Clock, type Timer } from '../../shared/time.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { Body } from '../facts.ts'

type Read = Result<Uint8Array, InferenceRefusal>

export function requestBody(request: Request, clock: Clock, timer: Timer): Body {
  let reading: Promise<Read> | null = null
  let waitedMs = 0

  const readOnce = async (untilMs: number): Promise<Read> => {
    const beganAtMs = clock.nowMs()
    const late: Read = err({ reason: 'deadline_exceeded', afterMs: untilMs - beganAtMs })
    const read = await within(readBounded(request), Math.max(0, untilMs - beganAtMs), late, timer)
    waitedMs = clock.nowMs() - beganAtMs
    return read
  }

  return {
    waitedMs: () => waitedMs,
    read: (untilMs) => (reading ??= readOnce(untilMs)),
  }
}

async function readBounded(request: Request): Promise<Read> {
  const tooLarge: Read = err({ reason: 'body_too_large', bytesMax: limits.bodyBytesMax })
  // A declared length is believed only to refuse sooner.
  if (Number(request.headers.get('content-length') ?? 0) > limits.bodyBytesMax) return tooLarge
  if (!request.body) return ok(new Uint8Array(0))
  const reader = request.body.getReader()
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      bytes += value.length
      if (bytes > limits.bodyBytesMax) {
        await reader.cancel()
        return tooLarge
      }
      chunks.push(value)
    }
  } catch {
    return err({ reason: 'body_incomplete' })
  }
  return ok(await new Blob(chunks).bytes())
}
