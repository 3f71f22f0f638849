// What a server's reply to a probe means. Pure. Details are for operators: an error's own words are told only where the adapter has taken
// the credentials out of them, which is with a status of 400 and above.

import { limits } from '../../shared/limits.ts'
import type { ProbeResult, ServiceStatus } from '../../shared/wire/probe.ts'
import { hiddenFault } from '../lane/engine-error.ts'
import { countOf, isRecord, parseJsonBytes, recordsOf, type Json } from '../lane/json.ts'
import { read } from './engines.ts'
import { readPage, type PageFault } from './exposition.ts'
import type { ProbedOperation, Question } from './probe.ts'
import type { Counters } from './rates.ts'

export type Reply = Pick<ProbeResult, 'ok' | 'detail' | 'warming' | 'engine' | 'service'>

/** A detail in one line and within its bound. */
export const bad = (detail: string): Reply => ({ ok: false, detail: shortened(detail) })
const good = (detail: string): Reply => ({ ok: true, detail: shortened(detail) })
const shortened = (detail: string): string => detail.replaceAll(/\s+/g, ' ').trim().slice(0, limits.probeDetailCharsMax)

const isGood = (status: number): boolean => status >= 200 && status <= 299

/** Any 2xx is life, whatever it says. llama.cpp's server answers 503 and `Loading model` until it can serve; `text` is needed for that alone. */
export function livenessReply(status: number, text: string): Reply {
  if (isGood(status)) return good(`HTTP ${status}`)
  return status === 503 && /loading/i.test(text) ? { ...bad('HTTP 503: it is loading its model'), warming: true } : bad(`HTTP ${status}`)
}

/** Counters of two earlier pages: the older is compared with, the younger takes its place in time. */
export type MetricsNotes = { readonly older: Counters; readonly younger: Counters }

const pageFaults: Readonly<Record<PageFault['reason'], string>> = {
  no_samples: 'it is no page of metrics',
  too_large: 'the page is too large',
  too_many: 'the page has too many samples',
}

/** `page`: a page's text, null when it has more than limits.metricsBytesMax. `atMs`: when it was asked for. */
export function metricsReply(
  status: number,
  page: string | null,
  notes: MetricsNotes | null,
  atMs: number,
): Reply & { readonly notes?: MetricsNotes } {
  if (!isGood(status)) return bad(`HTTP ${status}`)
  if (page === null) return bad(`HTTP ${status}, but ${pageFaults.too_large}`)
  const samples = readPage(page)
  if (!samples.ok) return bad(`HTTP ${status}, but ${pageFaults[samples.error.reason]}`)
  const reading = read(samples.value, notes?.older ?? null, atMs)
  if ('unreadable' in reading) return bad(`HTTP ${status}, but ${reading.unreadable}`)
  const { record, counters } = reading
  return { ...good(`HTTP ${status}, ${record.source}`), engine: record, notes: notesAfter(notes, counters) }
}

/** The page compared with is always between one and two windows old, once there are that many. */
function notesAfter(notes: MetricsNotes | null, now: Counters): MetricsNotes {
  if (!notes || notes.older.of !== now.of) return { older: now, younger: now }
  return now.atMs - notes.younger.atMs < limits.metricsWindowMs ? notes : { older: notes.younger, younger: now }
}

/** Whether a status says that the question was of the wrong sort, so that another may be answered. */
export const isWrongQuestion = (status: number): boolean => [400, 404, 405, 415, 422, 501].includes(status)

/** A reply other than 2xx to a question; `body` without credentials. */
export const refusedReply = ({ operation, lane }: Question, status: number, body: string): Reply =>
  bad(`${operation}: HTTP ${status}: ${lane.fault(status, body).message}`)

/** A 2xx reply, whole; `body` is null when it has more than limits.generationBytesMax. Only one that holds a token, a choice or a number is good. */
export function generationReply({ operation, lane, asking }: Question, contentType: string, body: Uint8Array | null): Reply {
  if (body === null) return bad(`${operation}: the answer is too large for one token`)
  const json = parseJsonBytes(body)
  if (hiddenFault(json)) return bad(`${operation}: an error with a status of success`)
  if (!isRecord(json) || !lane.whole(body, contentType, asking).ok || !isSaid[operation](json)) {
    return bad(`${operation}: the answer holds no token`)
  }
  return good(`${operation}: answered`)
}

const hasChoice = (json: Json): boolean => recordsOf(json['choices']).length > 0

const isSaid: Readonly<Record<ProbedOperation, (json: Json) => boolean>> = {
  // A choice may be empty: the first token of a model that thinks is often none that is shown.
  chat: hasChoice,
  completions: hasChoice,
  messages: (json) =>
    recordsOf(json['content']).length > 0 || (isRecord(json['usage']) && (countOf(json['usage']['output_tokens']) ?? 0) > 0),
  generate: (json) => typeof json['text_output'] === 'string' || (Array.isArray(json['text_output']) && json['text_output'].length > 0),
  embeddings: (json) => recordsOf(json['data']).some(({ embedding }) => Array.isArray(embedding) && embedding.length > 0),
}

/** States of a SageMaker endpoint (API reference, DescribeEndpoint) in which it answers invocations: while it is changed, the old one does. */
const serving = new Set(['InService', 'Updating', 'SystemUpdating', 'RollingBack'])

export function statusReply(service: ServiceStatus): Reply {
  const { status, instances, instancesWanted } = service
  const counted = instances === null ? status : `${status}, ${instances} of ${instancesWanted ?? '?'} instances`
  const reply = serving.has(status) ? good(counted) : bad(counted)
  return { ...reply, service, ...(status === 'Creating' ? { warming: true } : {}) }
}
