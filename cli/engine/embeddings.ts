// cli/engine/embeddings.ts — embeddings: the body read into inputs, and vectors put into OpenAI's list, as numbers or as base64. Pure.
import * as v from 'valibot'
import { tokens, type Prompt } from './completions.ts'
import { firstProblem } from './problem.ts'
import { invalid, no, ok, type Result } from './refuse.ts'
import { whole } from './sampling.ts'

export type EmbeddingsAsked = {
  readonly model: string | null
  readonly inputs: readonly Prompt[]
  readonly encoding: 'float' | 'base64'
  readonly dimensions: number | null
}

/** OpenAI's own bound is 2,048; here one request would keep a slot for seconds. */
const inputsMax = 256

const inputText = v.pipe(v.string('must be a string, a list of strings or tokens'), v.minLength(1, 'must not be empty'))
const bounded = <S extends v.GenericSchema>(item: S) =>
  v.pipe(v.array(item), v.minLength(1, 'must not be empty'), v.maxLength(inputsMax, `must be at most ${inputsMax} inputs`))

const EmbeddingsBody = v.object({
  model: v.nullish(v.string('must be a string')),
  input: v.lazy((value) => {
    const first: unknown = Array.isArray(value) ? value[0] : null
    if (typeof first === 'number') return tokens
    if (Array.isArray(first)) return bounded(tokens)
    return Array.isArray(value) ? bounded(inputText) : inputText
  }),
  encoding_format: v.nullish(v.picklist(['float', 'base64'], "must be 'float' or 'base64'")),
  dimensions: v.nullish(whole(1, 1_000_000)),
})

/** Reads a body; refused with the field's place. Whether `dimensions` fits is for the model to say. */
export function readEmbeddings(body: unknown): Result<EmbeddingsAsked> {
  const read = v.safeParse(EmbeddingsBody, body)
  if (!read.success) {
    const { message, param } = firstProblem(read.issues)
    return no(invalid(message, param))
  }
  const { model, input, encoding_format: encoding, dimensions } = read.output
  return ok({ model: model ?? null, inputs: inputsOf(input), encoding: encoding ?? 'float', dimensions: dimensions ?? null })
}

function inputsOf(input: string | readonly (string | number | readonly number[])[]): readonly Prompt[] {
  if (typeof input === 'string') return [input]
  const lists = input.filter((item) => typeof item !== 'number')
  return lists.length > 0 ? lists : [input.filter((item) => typeof item === 'number')]
}

/** The vector with length 1, in float32 precision, so that both encodings carry the same numbers. A zero vector stays as it is. */
export function unitVector(vector: readonly number[]): Float32Array {
  const length = Math.hypot(...vector)
  return Float32Array.from(vector, (value) => (length === 0 ? 0 : value / length))
}

export function embeddingsAnswer(
  model: string,
  vectors: readonly Float32Array[],
  encoding: 'float' | 'base64',
  promptTokens: number,
): object {
  return {
    object: 'list',
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: encoding === 'base64' ? base64Of(vector) : [...vector],
    })),
    model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  }
}

/** Little-endian float32, whatever the machine. */
function base64Of(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4)
  vector.forEach((value, index) => bytes.writeFloatLE(value, index * 4))
  return bytes.toString('base64')
}
