// An infer request of the Open Inference Protocol, in JSON or in JSON followed by binary tensors (the binary tensor data extension): whether
// shapes, datatypes and data agree. Pure. It reads and refuses; it never changes or converts anything, for the caller's bytes are what goes on.

import * as v from 'valibot'
import { err, ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import { parseJson, readFields } from './body.ts'
import { datatypeNames, datatypes, withRoundIntegers, type DatatypeName } from './datatypes.ts'
import { objectOf } from './object-fields.ts'

/** One input as it was announced and found to be. */
export type Tensor = {
  readonly name: string
  readonly datatype: DatatypeName
  readonly shape: readonly number[]
  readonly elements: number
}

/** The header that says where the JSON ends and the tensors begin. */
export const jsonLengthHeader = 'inference-header-content-length'

/** Far more than models have; each one costs a check. */
const tensorsMax = 256
/** NumPy and the engines stop at 32 dimensions; it bounds how deep data may nest as well. */
const dimensionsMax = 32
/** Engines count elements in 32 bits, and no body here can hold as many. */
const elementsMax = 2 ** 31 - 1
const nameCharsMax = 1024

const size = (what: string) => v.pipe(v.number(what), v.safeInteger(what), v.minValue(0, what))
const name = v.pipe(v.string('expected a string'), v.minLength(1, 'must not be empty'), v.maxLength(nameCharsMax, 'is too long'))
const flag = v.nullish(v.boolean('expected true or false'))
/** Names memory of the engine's own machine, which no caller may reach into. */
const sharedMemory = v.optional(v.never('shared memory of a model server cannot be used from outside'))

const tensorParameters = {
  binary_data_size: v.nullish(size('expected a number of bytes')),
  binary_data: flag,
  shared_memory_region: sharedMemory,
  shared_memory_offset: sharedMemory,
  shared_memory_byte_size: sharedMemory,
}

const parameters = v.nullish(objectOf(tensorParameters))

const inputFields = objectOf({
  name,
  datatype: v.picklist(datatypeNames, `expected one of ${datatypeNames.join(', ')}`),
  shape: v.pipe(
    v.array(size('expected an integer of at least 0'), 'expected a list of integers'),
    v.maxLength(dimensionsMax, `has more than ${dimensionsMax} dimensions`),
  ),
  parameters,
})

const list = <S extends v.GenericSchema>(item: S, what: string) =>
  v.pipe(v.array(item, `expected a list of ${what}`), v.maxLength(tensorsMax, `has more than ${tensorsMax} ${what}`))

const requestFields = objectOf({
  id: v.nullish(v.string('expected a string')),
  parameters: v.nullish(objectOf({ binary_data_output: flag })),
  inputs: v.pipe(list(inputFields, 'inputs'), v.minLength(1, 'expected at least one input')),
  outputs: v.nullish(list(objectOf({ name, parameters }), 'outputs')),
})

type Input = v.InferOutput<typeof inputFields>

/**
 * Reads a request; `jsonLength` is the value of `inference-header-content-length`, null when there is none. Refuses `invalid_header` when that
 * does not fit the body, `invalid_json`, and `invalid_field` naming the place, for instance `inputs[0].data`.
 */
export function readTensors(body: Uint8Array, jsonLength: string | null): Result<readonly Tensor[], InferenceRefusal> {
  const length = jsonLength === null ? body.length : lengthOf(jsonLength, body)
  if (length === null) return err(badLength(`expected the length of the JSON in bytes, from 1 to the body's ${body.length}.`))
  const head = body.subarray(0, length)
  const json = parseJson(head)
  if (!json.ok) return json
  const fields = readFields(requestFields, json.value)
  if (!fields.ok) return fields
  const twice = repeatedName(fields.value.inputs)
  if (twice) return twice
  return readInputs(checkable(head, fields.value.inputs), body.subarray(length), jsonLength !== null)
}

function lengthOf(header: string, body: Uint8Array): number | null {
  const length = /^\d{1,15}$/.test(header) ? Number(header) : 0
  return length > 0 && length <= body.length ? length : null
}

type Data = readonly { readonly data?: unknown }[]

/** The inputs as they are to be checked: their data with the integers that a number cannot judge made round. */
function checkable(json: Uint8Array, inputs: readonly Input[]): readonly Input[] {
  const rounded = withRoundIntegers(new TextDecoder().decode(json))
  if (rounded === null) return inputs
  const { inputs: data } = JSON.parse(rounded) as { readonly inputs: Data }
  return inputs.map((input, index) => Object.assign(input, { data: data[index]?.data }))
}

function repeatedName(inputs: readonly Input[]): Result<never, InferenceRefusal> | null {
  const seen = new Set<string>()
  for (const [index, input] of inputs.entries()) {
    if (seen.has(input.name)) return bad(`inputs[${index}].name`, 'another input has this name.')
    seen.add(input.name)
  }
  return null
}

function readInputs(inputs: readonly Input[], binary: Uint8Array, hasLength: boolean): Result<readonly Tensor[], InferenceRefusal> {
  const tensors: Tensor[] = []
  let taken = 0
  let lastBinary: string | null = null
  for (const [index, input] of inputs.entries()) {
    const place = `inputs[${index}]`
    const elements = elementsOf(input.shape)
    if (elements === null) return bad(`${place}.shape`, `has more than ${elementsMax} elements.`)
    const bytes = input.parameters?.binary_data_size ?? null
    if (bytes === null) {
      const wrong = wrongData(input, elements, place)
      if (wrong) return wrong
    } else {
      if (bytes > 0 && !hasLength) return err(badLength(`it is required, for ${place} is binary.`))
      const wrong = wrongBinary(input, elements, { bytes, left: binary.subarray(taken) }, place)
      if (wrong) return wrong
      taken += bytes
      lastBinary = `${place}.parameters.binary_data_size`
    }
    tensors.push({ name: input.name, datatype: input.datatype, shape: input.shape, elements })
  }
  if (taken === binary.length) return ok(tensors)
  const detail = `the inputs account for ${taken} bytes, but ${binary.length} follow the JSON.`
  return lastBinary === null ? err(badLength(detail)) : bad(lastBinary, detail)
}

/** The shape's product; null above the bound. */
function elementsOf(shape: readonly number[]): number | null {
  if (shape.includes(0)) return 0
  let product = 1
  for (const dimension of shape) {
    product *= dimension
    if (product > elementsMax) return null
  }
  return product
}

// In JSON.

/** What is wrong with `data`, which may be flat or nest in rows of equal length; null when it has the elements that the shape promises. */
function wrongData(input: Input, elements: number, place: string): Result<never, InferenceRefusal> | null {
  const { data } = input
  if (!Array.isArray(data)) return bad(`${place}.data`, 'expected a list, flat or nested as the shape says.')
  const walk: Walk = { datatype: input.datatype, most: elements, found: 0, levels: [] }
  const wrong = wrongLevel(data, 0, walk)
  if (wrong !== null) return bad(`${place}.data`, wrong)
  if (walk.found === elements) return null
  const found = walk.found > elements ? 'more' : String(walk.found)
  return bad(`${place}.data`, `the shape [${input.shape.join(', ')}] has ${elements} elements, but the data has ${found}.`)
}

type Level = { readonly length: number; readonly isLists: boolean }
type Walk = { readonly datatype: DatatypeName; readonly most: number; found: number; readonly levels: Level[] }

/** Counts elements into `walk`, and no further than one too many. All lists of a depth must be alike: as many items, and of one kind. */
function wrongLevel(items: readonly unknown[], depth: number, walk: Walk): string | null {
  if (depth >= dimensionsMax) return `is nested more than ${dimensionsMax} deep.`
  const level = (walk.levels[depth] ??= { length: items.length, isLists: Array.isArray(items[0]) })
  if (items.length !== level.length) return 'its rows differ in length.'
  if (!level.isLists) return wrongElements(items, walk)
  for (const item of items) {
    if (!Array.isArray(item)) return 'it mixes lists and elements.'
    const wrong = wrongLevel(item, depth + 1, walk)
    if (wrong !== null) return wrong
    if (walk.found > walk.most) return null
  }
  return null
}

function wrongElements(items: readonly unknown[], walk: Walk): string | null {
  const { accepts, expects } = datatypes[walk.datatype]
  for (const item of items) {
    if (!accepts(item)) {
      if (Array.isArray(item)) return 'it mixes lists and elements.'
      return `element ${walk.found}: expected ${expects} (${walk.datatype}).`
    }
    walk.found += 1
    if (walk.found > walk.most) return null
  }
  return null
}

// In binary: little-endian, row after row, without gaps.

type Piece = { readonly bytes: number; readonly left: Uint8Array }

function wrongBinary(input: Input, elements: number, { bytes, left }: Piece, place: string): Result<never, InferenceRefusal> | null {
  const field = `${place}.parameters.binary_data_size`
  if (input['data'] !== undefined && input['data'] !== null) return bad(`${place}.data`, 'must be absent: this input is binary.')
  const width = datatypes[input.datatype].bytes
  if (width !== null && bytes !== elements * width) {
    return bad(field, `${elements} elements of ${input.datatype} take ${elements * width} bytes, not ${bytes}.`)
  }
  if (bytes > left.length) return bad(field, `says ${bytes} bytes, but ${left.length} are left in the body.`)
  const own = left.subarray(0, bytes)
  if (input.datatype === 'BOOL' && own.some((byte) => byte > 1)) return bad(place, 'a binary BOOL is a byte of 0 or 1.')
  return input.datatype === 'BYTES' && countBytes(own, elements) !== elements
    ? bad(field, `its lengths do not divide ${bytes} bytes into ${elements} elements.`)
    : null
}

/** How many elements, each with four bytes of length before it, fill `bytes` to the end; null when they do not, or are more than `most`. */
function countBytes(bytes: Uint8Array, most: number): number | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let count = 0
  let at = 0
  while (at < bytes.length && count < most) {
    if (at + 4 > bytes.length) return null
    at += 4 + view.getUint32(at, true)
    count += 1
  }
  return at === bytes.length ? count : null
}

const bad = (param: string, detail: string): Result<never, InferenceRefusal> => err({ reason: 'invalid_field', param, detail })
const badLength = (detail: string): InferenceRefusal => ({ reason: 'invalid_header', header: jsonLengthHeader, detail })
