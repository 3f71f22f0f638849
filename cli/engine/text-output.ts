// cli/engine/text-output.ts — the generate extension: the body read into a text and how to continue it, and the answer's words. Pure.
import * as v from 'valibot'
import { modelVersion } from './models.ts'
import { firstProblem } from './problem.ts'
import { invalid, no, ok, type Result } from './refuse.ts'
import { askedFields, askedOf, type Asked } from './sampling.ts'
import type { FinishReason, Usage, Voice } from './voice.ts'

export type GenerateAsked = Asked & { readonly text: string }

const { max_tokens, temperature, top_p, seed, stop } = askedFields
const parameters = { max_tokens, temperature, top_p, seed, stop }

const GenerateBody = v.object({
  text_input: v.string('must be a string'),
  parameters: v.nullish(v.object(parameters, 'must be an object')),
  // Clients put them beside the text as well.
  ...parameters,
})

/** Reads a body. Refused with the field's place when a known field has a wrong type or value; unknown fields are ignored. */
export function readGenerate(body: unknown, temperatureDefault: number): Result<GenerateAsked> {
  const read = v.safeParse(GenerateBody, body)
  if (!read.success) {
    const { message, param } = firstProblem(read.issues)
    return no(invalid(message, param))
  }
  const { text_input: text, parameters: inner, ...outer } = read.output
  return ok({ ...askedOf({ ...outer, ...inner }, null, temperatureDefault), text })
}

/** The words of one generated text. Every event of a stream says whether it is the last: the protocol itself has no mark for that. */
export function generateVoice(model: string): Voice {
  const block = (text: string, finishReason: FinishReason | null, counts: object = {}): object => ({
    model_name: model,
    model_version: modelVersion,
    text_output: text,
    finish_reason: finishReason,
    ...counts,
  })
  return {
    endMark: null,
    opening: () => null,
    words: (_, { text }) => block(text, null),
    closing: (_, finishReason, usage) => block('', finishReason, countsOf(usage)),
    // It is in the closing.
    usage: countsOf,
    whole: (choices, usage) => block(choices[0]?.text ?? '', choices[0]?.finishReason ?? 'stop', countsOf(usage)),
  }
}

/** As Triton's vLLM backend names them. */
const countsOf = ({ promptTokens, completionTokens }: Usage): object => ({
  num_input_tokens: promptTokens,
  num_output_tokens: completionTokens,
})
