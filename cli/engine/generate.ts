// cli/engine/generate.ts — one sequence at work: reads the prompt, hands out pieces of text, and stops at an end token, a stop string, the
// limit, the context's end, or when its client leaves. Knows nothing of HTTP.
import type { Tally } from './metrics.ts'
import type { Model, SampleOptions, Sequence } from './model.ts'
import { emptyTranscript, finish, hear, type Piece } from './transcript.ts'
import type { FinishReason } from './voice.ts'

export type Job = {
  readonly prompt: readonly number[]
  readonly options: SampleOptions
  readonly stops: readonly string[]
  /** Null: until the context is full. */
  readonly tokensMax: number | null
}

export type End = { readonly finishReason: FinishReason; readonly tokens: number }

export type Listener = {
  readonly say: (piece: Piece) => void
  /** Called after every token with their number so far; generation waits for it. */
  readonly pause: (tokens: number) => Promise<void>
}

export type Meter = { readonly nowMs: () => number; readonly tally: Tally }

export type Worker = {
  readonly model: Pick<Model, 'contextTokens' | 'detokenise' | 'isEnd'>
  readonly sequence: Sequence
  readonly meter: Meter
}

/**
 * Runs `job` to its end; null when `signal` aborted it, which is noticed at the next token. Tokens are counted as sampled, an end token
 * included. A piece with neither text nor tokens is not said.
 */
export async function generate(job: Job, { model, sequence, meter }: Worker, listener: Listener, signal: AbortSignal): Promise<End | null> {
  const limit = Math.min(job.tokensMax ?? Infinity, model.contextTokens - job.prompt.length)
  const say = (piece: Piece): void => {
    if (piece.text !== '' || piece.tokens.length > 0) listener.say(piece)
  }
  let transcript = emptyTranscript
  let tokens = 0
  let lastMs = meter.nowMs()
  let finishReason: FinishReason = 'length'
  for await (const sampled of sequence.sample(job.prompt, job.options)) {
    tokens += 1
    lastMs = measure(meter, job.prompt.length, tokens, lastMs)
    if (signal.aborted) return null
    if (model.isEnd(sampled.token)) {
      finishReason = 'stop'
      break
    }
    const heard = hear(transcript, sampled, model.detokenise, job.stops)
    transcript = heard.transcript
    say(heard.piece)
    if (transcript.isStopped) {
      finishReason = 'stop'
      break
    }
    await listener.pause(tokens)
    if (signal.aborted) return null
    if (tokens >= limit) break
  }
  say(finish(transcript, model.detokenise, job.stops))
  return { finishReason, tokens }
}

/** Time to the first token is the prompt's, as in llama.cpp; the rest is generation. Returns the time now. */
function measure({ nowMs, tally }: Meter, promptTokens: number, tokens: number, lastMs: number): number {
  const now = nowMs()
  if (tokens === 1) {
    tally.promptTokens += promptTokens
    tally.promptMs += now - lastMs
  } else {
    tally.predictedMs += now - lastMs
  }
  tally.predictedTokens += 1
  tally.contextTokensMax = Math.max(tally.contextTokensMax, promptTokens + tokens)
  return now
}
