// cli/engine/answer.ts — from prompts to an answer on the wire: takes slots, runs the choices side by side, and says them as one stream or
// one JSON. Gives every slot back, cleared, however the request ends.
import { verdictAfter, type Fault } from './faults.ts'
import { generate, type End, type Job, type Meter } from './generate.ts'
import type { Model } from './model.ts'
import { internal, queueFull, unloaded, type Refusal } from './refuse.ts'
import { slowed } from './slow.ts'
import { openSpeaker, type Speaker } from './speaker.ts'
import type { Voice } from './voice.ts'
import { untilAborted, type Wire } from './wire.ts'

export type Work = {
  readonly model: Model
  /** Aborts when the model is being unloaded and has waited long enough. */
  readonly closing: AbortSignal
  readonly jobs: readonly Job[]
  readonly promptTokens: number
  readonly hasLogprobs: boolean
  readonly voice: Voice
  readonly isStream: boolean
  readonly includeUsage: boolean
  readonly fault: Fault
}

export type Outcome = 'served' | 'refused' | 'aborted'

export type AnswerDeps = Meter & { readonly log: (line: string) => void }

/** Answers and says how it ended. Refused with queue_full when the queue has no room for all choices, and never half of them. */
export async function answer(work: Work, wire: Wire, deps: AnswerDeps): Promise<Outcome> {
  const { slots } = work.model
  if (slots.room() < work.jobs.length) {
    wire.refuse(queueFull(slots.waitingMax))
    return 'refused'
  }
  const speaker = openSpeaker(work, wire)
  // One choice that fails ends the others: nobody will read them.
  const failed = new AbortController()
  const signal = AbortSignal.any([wire.signal, work.closing, failed.signal])
  const turn: Turn = { work, wire, deps, speaker, signal }
  try {
    const ends = await allOrFirstError(
      work.jobs.map((job, index) => runChoice(turn, job, index)),
      () => failed.abort(),
    )
    if (wire.signal.aborted) return 'aborted'
    const complete = ends.filter((end) => end !== null)
    if (complete.length < ends.length) return fail(wire, unloaded(work.model.name))
    speaker.end(complete)
    return 'served'
  } catch (error) {
    if (wire.signal.aborted) return 'aborted'
    deps.log(`request on ${work.model.name} failed: ${error instanceof Error ? error.message : String(error)}`)
    return fail(wire, internal())
  }
}

/** Once a stream has begun, its status is sent: then the failure is an event, and the stream lacks its [DONE]. */
function fail(wire: Wire, refusal: Refusal): Outcome {
  if (!wire.hasBegun()) {
    wire.refuse(refusal)
    return 'refused'
  }
  wire.failEvents(refusal)
  return 'refused'
}

/** Waits for all, also when one fails: a choice that still runs must not outlive its request. Then throws the first error, if any. */
async function allOrFirstError<T>(choices: readonly Promise<T>[], onError: () => void): Promise<readonly T[]> {
  for (const choice of choices) choice.catch(onError)
  await Promise.allSettled(choices)
  return Promise.all(choices)
}

type Turn = {
  readonly work: Work
  readonly wire: Wire
  readonly deps: AnswerDeps
  readonly speaker: Speaker
  readonly signal: AbortSignal
}

async function runChoice({ work, wire, deps, speaker, signal }: Turn, job: Job, index: number): Promise<End | null> {
  const lease = await work.model.slots.take(signal)
  if (lease === null) return null
  try {
    if (work.fault.kind === 'hang') {
      await untilAborted(signal)
      return null
    }
    const pause = async (tokens: number): Promise<void> => {
      const verdict = verdictAfter(work.fault, tokens)
      if (verdict === 'go-on') return
      if (verdict === 'cut') wire.cut()
      await untilAborted(signal)
    }
    const factor = work.fault.kind === 'run' ? work.fault.slowFactor : 1
    const sequence = slowed(lease.resource, factor, { nowMs: deps.nowMs, signal })
    const worker = { model: work.model, sequence, meter: deps }
    const end = await generate(job, worker, { say: (piece) => speaker.say(index, piece), pause }, signal)
    if (end !== null) speaker.close(index, end)
    return end
  } finally {
    // A sequence must be empty before the next request reads into it.
    await lease.resource.clear().finally(lease.giveBack)
  }
}
