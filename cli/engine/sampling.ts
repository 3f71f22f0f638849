// cli/engine/sampling.ts — the fields that chat and text completions share: how to choose tokens, when to stop, how to answer. Pure.
import * as v from 'valibot'

/** How one answer is generated. `temperature` 0 is greedy; a null seed asks for a fresh one; `topLogprobs` null means no logprobs. */
export type Sampling = {
  readonly temperature: number
  readonly topP: number
  readonly seed: number | null
  readonly tokensMax: number | null
  readonly stops: readonly string[]
  readonly topLogprobs: number | null
}

/** What both kinds of request ask for, apart from the prompt. A null model is the server's own. */
export type Asked = {
  readonly model: string | null
  readonly isStream: boolean
  readonly includeUsage: boolean
  readonly choices: number
  readonly sampling: Sampling
}

/** OpenAI's bounds, except for choices: each one takes a slot. */
export const choicesMax = 4
export const topLogprobsMax = 20
const stopsMax = 4
const stopLengthMax = 256

const number = (least: number, most: number) =>
  v.pipe(
    v.number('must be a number'),
    v.minValue(least, `must be from ${least} to ${most}`),
    v.maxValue(most, `must be from ${least} to ${most}`),
  )
export const whole = (least: number, most: number) => v.pipe(number(least, most), v.integer('must be a whole number'))
export const flag = v.boolean('must be true or false')
const stopText = v.pipe(
  v.string('must be a string'),
  v.minLength(1, 'must not be empty'),
  v.maxLength(stopLengthMax, `must be at most ${stopLengthMax} characters long`),
)
const stopTexts = v.pipe(
  v.array(stopText, 'must be a string or a list of strings'),
  v.maxLength(stopsMax, `must be at most ${stopsMax} strings`),
)

/** Clients send null for "not set", so every field may be null. */
export const askedFields = {
  model: v.nullish(v.string('must be a string')),
  stream: v.nullish(flag),
  stream_options: v.nullish(v.object({ include_usage: v.nullish(flag) }, 'must be an object')),
  n: v.nullish(whole(1, choicesMax)),
  temperature: v.nullish(number(0, 2)),
  top_p: v.nullish(number(0, 1)),
  seed: v.nullish(v.pipe(v.number('must be a number'), v.safeInteger('must be a whole number'))),
  max_tokens: v.nullish(whole(1, Number.MAX_SAFE_INTEGER)),
  max_completion_tokens: v.nullish(whole(1, Number.MAX_SAFE_INTEGER)),
  stop: v.nullish(v.lazy((value) => (Array.isArray(value) ? stopTexts : stopText))),
}

const AskedBody = v.object(askedFields)

/** From the body's own fields to named ones. `temperatureDefault` is for clients that give none. */
export function askedOf(body: v.InferOutput<typeof AskedBody>, topLogprobs: number | null, temperatureDefault: number): Asked {
  const { stop } = body
  return {
    model: body.model ?? null,
    isStream: body.stream ?? false,
    includeUsage: body.stream_options?.include_usage ?? false,
    choices: body.n ?? 1,
    sampling: {
      temperature: body.temperature ?? temperatureDefault,
      topP: body.top_p ?? 1,
      seed: body.seed ?? null,
      tokensMax: body.max_completion_tokens ?? body.max_tokens ?? null,
      stops: stop === null || stop === undefined ? [] : typeof stop === 'string' ? [stop] : stop,
      topLogprobs,
    },
  }
}
