// The body of a public request: read from the wire once, within a bound of bytes and time, and kept for whoever asks again.

import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { within, type Clock, type Timer } from '../../shared/time.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { Body } from '../facts.ts'

type Read = Result<Uint8Array, InferenceRefusal>

/** Bytes of bodies that are held by this isolate at the moment, together. */
export type UploadMemory = { heldBytes: number }

export function requestBody(request: Request, memory: UploadMemory, clock: Clock, timer: Timer): Body {
  const reader = request.body?.getReader() ?? null
  // A declared length is believed only to refuse sooner.
  const declaredBytes = Number(request.headers.get('content-length') ?? 0)
  let reading: Promise<Read> | null = null
  let waitedMs = 0

  const readOnce = async (untilMs: number): Promise<Read> => {
    if (declaredBytes > limits.bodyBytesMax) return err({ reason: 'body_too_large', bytesMax: limits.bodyBytesMax })
    if (!reader) return ok(new Uint8Array(0))
    const beganAtMs = clock.nowMs()
    const patienceMs = Math.min(limits.uploadMsMax, Math.max(0, untilMs - beganAtMs))
    const late: Read =
      patienceMs < limits.uploadMsMax
        ? err({ reason: 'deadline_exceeded', afterMs: patienceMs })
        : err({ reason: 'body_too_slow', afterMs: patienceMs })
    const share = { bytes: 0, over: false }
    const read = await within(readBounded(reader, memory, share), patienceMs, late, timer)
    // A body that came too late is still being read somewhere: from here on it keeps nothing.
    share.over = true
    memory.heldBytes -= share.bytes
    waitedMs = clock.nowMs() - beganAtMs
    return read
  }

  return {
    waitedMs: () => waitedMs,
    read: (untilMs) => (reading ??= readOnce(untilMs)),
    forget: () => {
      reading = null
    },
    discard: async () => {
      if (reader) await within(skip(reader), limits.discardMsMax, undefined, timer)
    },
  }
}

/** `share` is this body's part of what the isolate holds. */
async function readBounded(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  memory: UploadMemory,
  share: { bytes: number; over: boolean },
): Promise<Read> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      if (share.over) return err({ reason: 'body_incomplete' })
      bytes += value.length
      share.bytes += value.length
      memory.heldBytes += value.length
      if (bytes > limits.bodyBytesMax) return err({ reason: 'body_too_large', bytesMax: limits.bodyBytesMax })
      if (memory.heldBytes > limits.uploadsHeldBytesMax) return err({ reason: 'uploads_full' })
      chunks.push(value)
    }
  } catch {
    return err({ reason: 'body_incomplete' })
  }
  return ok(await new Blob(chunks).bytes())
}

/** Reads on and keeps nothing, up to a bound. */
async function skip(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  try {
    for (let bytes = 0; bytes < limits.discardBytesMax;) {
      const { done, value } = await reader.read()
      if (done) return
      bytes += value.length
    }
  } catch {
    // The sender has gone: nothing is left to read.
  }
}
