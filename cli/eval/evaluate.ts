// Asks a whole set through the public API, with one version forced, and scores the answers. An item is asked again after what may pass; one
// that fails for good is left out and said so, never counted as wrong: that would measure the network.

import { isRight, type EvalRow } from '../engine/score.ts'
import type { ReportItem } from '../../shared/wire/report.ts'
import { parsed, readText } from '../api/bounded.ts'
import type { EdgeAddress } from '../api/connection.ts'
import { whyOf } from '../api/core-client.ts'
import type { World } from '../api/world.ts'
import { Stop } from '../local/stop.ts'
import { attemptsMax, outcomeOf, pauseMsAfter, type Answered, type Outcome } from './attempt.ts'
import type { Overrides } from './override.ts'

export type Sampling = { readonly temperature: number; readonly topP: number; readonly tokensMax: number; readonly seed: number }

export type Asking = {
  readonly edge: EdgeAddress
  readonly model: string
  readonly version: string
  readonly sampling: Sampling
  readonly overrides: Overrides
  /** Items that are asked at the same time. */
  readonly concurrency: number
}

/** In the order of the set. `failed`: what the others came to. */
export type Evaluated = {
  readonly results: readonly ReportItem[]
  readonly failed: readonly { readonly id: string; readonly why: string }[]
}

/** One answer; a model that thinks for long may take minutes. */
const answerMsMax = 300_000
/** So many items in a row that cannot be answered are no accident: the rest would only take time. */
const failedInRowMax = 20

/** The messages by which an item is asked: the same for every version, and part of the report (template). */
export const asks = (prompt: string) => [{ role: 'user' as const, content: prompt }]

/** `done` is called after each item. Throws Stop where no item can be answered. */
export async function evaluate(rows: readonly EvalRow[], asking: Asking, world: World, done: (right: number) => void): Promise<Evaluated> {
  const outcomes = new Map<string, ReportItem | string>()
  const queue = rows.values()
  const over = new AbortController()
  let right = 0
  let failedInRow = 0
  const take = (item: ReportItem | string, id: string): void => {
    outcomes.set(id, item)
    failedInRow = typeof item === 'string' ? failedInRow + 1 : 0
    if (typeof item !== 'string') right += item.scores[0] ?? 0
    else if (failedInRow >= failedInRowMax) throw new Stop(`${failedInRow} items in a row had no answer; the last one: ${item}`)
    done(right)
  }
  const work = async (): Promise<void> => {
    for (const row of queue) {
      if (over.signal.aborted) return
      const asked = await askUntilAnswered(row, asking, world, over.signal)
      take(typeof asked === 'string' ? asked : itemOf(row, asked), row.id)
    }
  }
  try {
    await Promise.all(Array.from({ length: asking.concurrency }, work))
  } finally {
    // Where one of them gave up, the others must not ask on.
    over.abort()
  }
  return inOrder(rows, outcomes)
}

const itemOf = (row: EvalRow, { text, tokens }: Answered): ReportItem => ({ id: row.id, scores: [isRight(row, text) ? 1 : 0], tokens })

function inOrder(rows: readonly EvalRow[], outcomes: ReadonlyMap<string, ReportItem | string>): Evaluated {
  const results: ReportItem[] = []
  const failed: { id: string; why: string }[] = []
  for (const { id } of rows) {
    const outcome = outcomes.get(id)
    if (typeof outcome === 'string') failed.push({ id, why: outcome })
    else if (outcome) results.push(outcome)
  }
  return { results, failed }
}

/** The answer, or why there is none. Throws Stop where there is none for any item. */
async function askUntilAnswered(row: EvalRow, asking: Asking, { timer }: World, over: AbortSignal): Promise<Answered | string> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await ask(row, asking, over)
    if (outcome.kind === 'answered') return outcome.answer
    if (outcome.kind === 'hopeless') throw new Stop(`item ${row.id}: ${outcome.why}`)
    if (outcome.kind === 'failed' || attempt === attemptsMax || over.aborted) return outcome.why
    await timer.sleep(pauseMsAfter(attempt, outcome.afterMs), over)
  }
}

async function ask({ prompt }: EvalRow, asking: Asking, over: AbortSignal): Promise<Outcome> {
  const { edge, model, version, sampling, overrides } = asking
  const { temperature, topP, tokensMax, seed } = sampling
  const body = { model, messages: asks(prompt), temperature, top_p: topP, max_tokens: tokensMax, seed }
  const headers = { authorization: `Bearer ${edge.apiKey}`, 'content-type': 'application/json', ...(await overrides.headers()) }
  try {
    const response = await fetch(`${edge.url}/v1/chat/completions`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
      signal: AbortSignal.any([AbortSignal.timeout(answerMsMax), over]),
      redirect: 'error',
    })
    const header = (name: string): string | null => response.headers.get(name)
    const reply = { status: response.status, version: header('isochrone-model-version'), retryAfter: header('retry-after') }
    return outcomeOf({ ...reply, body: parsed(await readText(response)) }, version)
  } catch (cause) {
    if (cause instanceof Stop) throw cause
    return { kind: 'again', why: `${edge.url} gave no answer: ${whyOf(cause)}`, afterMs: null }
  }
}
