// One open-loop run at a declared operating point, as whoever ran it reports it and the load gate reads it (core/gate/load.ts).

import * as v from 'valibot'
import { limits } from '../limits.ts'
import { err, ok, type Result } from '../result.ts'

export const loadRunFormat = 1

const ms = v.pipe(v.number('must be a number'), v.minValue(0, 'must not be negative'), v.maxValue(8.64e15, 'is too large'))
const digest = v.pipe(
  v.string('must be a text'),
  v.regex(/^sha256:[0-9a-f]{64}$/, 'must be "sha256:" and 64 lower-case hexadecimal digits'),
)

/** Times from the moment it was due. */
const sampleSchema = v.strictObject({
  lateMs: ms,
  outcome: v.picklist(['good', 'failed'], 'must be "good" or "failed"'),
  ttftMs: v.nullable(ms),
  tpotMs: v.nullable(ms),
})

const runSchema = v.strictObject({
  format: v.literal(loadRunFormat, `must be ${loadRunFormat}`),
  versionDigest: digest,
  environment: v.string('must be a text'),
  /** Digest of the requests and of the times at which they are due. */
  traceDigest: digest,
  requestsPerS: v.pipe(v.number('must be a number'), v.gtValue(0, 'must be above 0'), v.maxValue(1e6, 'is too large')),
  durationMs: ms,
  samples: v.pipe(v.array(sampleSchema), v.maxLength(limits.loadSamplesMax, `must have at most ${limits.loadSamplesMax} entries`)),
})

export type LoadRunReport = DeepReadonly<v.InferOutput<typeof runSchema>>
type DeepReadonly<T> = { readonly [K in keyof T]: DeepReadonly<T[K]> }

/** `field` is the path of the first part that is at fault. */
export type BrokenRun = { readonly reason: 'broken_load_run'; readonly field: string; readonly detail: string }

/** Reads a run from outside: an admin body or a stored row. Refusal: broken_load_run. */
export function readLoadRun(text: string): Result<LoadRunReport, BrokenRun> {
  const broken = (field: string, detail: string) => err({ reason: 'broken_load_run', field, detail } as const)
  if (text.length > limits.reportCharsMax) return broken('run', `must have at most ${limits.reportCharsMax} characters`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return broken('run', 'must be JSON')
  }
  const parsed = v.safeParse(runSchema, value, { abortEarly: true })
  return parsed.success ? ok(parsed.output) : broken(v.getDotPath(parsed.issues[0]) ?? 'run', parsed.issues[0].message)
}
