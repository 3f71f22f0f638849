// cli/engine/tensors.ts — the Open Inference Protocol's infer: texts in a BYTES tensor read from JSON or binary, and embeddings put into an FP32
// tensor in either form. Pure.
import * as v from 'valibot'
import { modelVersion } from './models.ts'
import { firstProblem } from './problem.ts'
import { invalid, no, ok, type Result } from './refuse.ts'
import { parseJson } from './wire.ts'

export const jsonLengthHeader = 'inference-header-content-length'
export const textInput = 'text'
export const embeddingOutput = 'embedding'

export type InferAsked = { readonly id: string | null; readonly texts: readonly string[]; readonly isBinary: boolean }

/** The bound of embeddings: one request would keep a slot for seconds. */
const textsMax = 256

const dimension = v.pipe(v.number('must be a number'), v.safeInteger('must be whole'), v.minValue(0, 'must not be negative'))
const flag = v.nullish(v.boolean('must be true or false'))
const text = v.string('must be a string')

const InferBody = v.object({
  id: v.nullish(v.string('must be a string')),
  parameters: v.nullish(v.object({ binary_data_output: flag }, 'must be an object')),
  inputs: v.strictTuple(
    [
      v.object(
        {
          name: v.literal(textInput, `must be '${textInput}'`),
          datatype: v.literal('BYTES', "must be 'BYTES'"),
          shape: v.pipe(
            v.array(dimension, 'must be a list'),
            v.minLength(1, 'must be [n] or [n, 1]'),
            v.maxLength(2, 'must be [n] or [n, 1]'),
          ),
          parameters: v.nullish(v.object({ binary_data_size: v.nullish(dimension) }, 'must be an object')),
          data: v.nullish(
            v.array(
              v.lazy((value) => (Array.isArray(value) ? v.array(text) : text)),
              'must be a list of strings',
            ),
          ),
        },
        'must be an object',
      ),
    ],
    `must be the one input '${textInput}'`,
  ),
  outputs: v.nullish(
    v.pipe(
      v.array(
        v.object(
          {
            name: v.literal(embeddingOutput, `must be '${embeddingOutput}'`),
            parameters: v.nullish(v.object({ binary_data: flag }, 'must be an object')),
          },
          'must be an object',
        ),
        'must be a list',
      ),
      v.maxLength(1, 'must name an output once'),
    ),
  ),
})

/** Reads a body, whose JSON takes `jsonLength` bytes (the header; null: all). Refused with the field's place. */
export function readInfer(bytes: Buffer, jsonLength: string | null): Result<InferAsked> {
  const length = jsonLength === null ? bytes.length : Number(jsonLength)
  if (!Number.isInteger(length) || length < 0 || length > bytes.length) return no(invalid(`Invalid header '${jsonLengthHeader}'`))
  const json = parseJson(bytes.subarray(0, length))
  if (!json.ok) return json
  const read = v.safeParse(InferBody, json.value)
  if (!read.success) {
    const { message, param } = firstProblem(read.issues)
    return no(invalid(message, param))
  }
  const { id, parameters, inputs, outputs } = read.output
  const texts = textsOf(inputs[0], bytes.subarray(length))
  if (!texts.ok) return texts
  const isBinary = outputs?.[0]?.parameters?.binary_data ?? parameters?.binary_data_output ?? false
  return ok({ id: id ?? null, texts: texts.value, isBinary })
}

type Input = v.InferOutput<typeof InferBody>['inputs'][0]

function textsOf({ shape, parameters, data }: Input, tail: Buffer): Result<readonly string[]> {
  const count = shape.reduce((product, size) => product * size, 1)
  if (count < 1 || count > textsMax) return no(invalid(`Invalid 'inputs[0].shape': must be from 1 to ${textsMax} texts`, 'inputs[0].shape'))
  const size = parameters?.binary_data_size ?? null
  const isWhole = tail.length === (size ?? 0)
  if (!isWhole) return no(invalid(`Unexpected size: ${tail.length} bytes follow the JSON, and ${size ?? 0} are announced`))
  const texts = size === null ? (data ?? []).flat() : unpacked(tail)
  if (texts?.length === count) return ok(texts)
  const problem = texts === null ? 'its lengths do not fit its size' : `must be ${count} texts, not ${texts.length}`
  return no(invalid(`Invalid 'inputs[0].data': ${problem}`, 'inputs[0].data'))
}

/** Texts with four bytes of length, little-endian, before each; null when the last one is cut. */
function unpacked(bytes: Buffer): readonly string[] | null {
  const texts: string[] = []
  let at = 0
  while (at < bytes.length) {
    const from = at + 4
    if (from > bytes.length) return null
    at = from + bytes.readUInt32LE(at)
    if (at > bytes.length) return null
    texts.push(bytes.toString('utf8', from, at))
  }
  return texts
}

export type InferAnswer = { readonly json: object; readonly tail: Buffer | null }

/** The answer; with `tail`, the tensor that follows the JSON. The token count is where Triton puts what belongs to no tensor. */
export function inferAnswer(model: string, asked: InferAsked, vectors: readonly Float32Array[], promptTokens: number): InferAnswer {
  const tail = asked.isBinary ? packed(vectors) : null
  const output = { name: embeddingOutput, datatype: 'FP32', shape: [vectors.length, vectors[0]?.length ?? 0] }
  const json = {
    model_name: model,
    model_version: modelVersion,
    ...(asked.id === null ? {} : { id: asked.id }),
    parameters: { num_input_tokens: promptTokens },
    outputs: [
      tail === null
        ? { ...output, data: vectors.flatMap((vector) => [...vector]) }
        : { ...output, parameters: { binary_data_size: tail.length } },
    ],
  }
  return { json, tail }
}

/** Little-endian float32, row after row, whatever the machine. */
function packed(vectors: readonly Float32Array[]): Buffer {
  const values = vectors.flatMap((vector) => [...vector])
  const bytes = Buffer.alloc(values.length * 4)
  values.forEach((value, index) => bytes.writeFloatLE(value, index * 4))
  return bytes
}
