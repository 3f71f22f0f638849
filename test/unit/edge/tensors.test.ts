// Infer requests: what is a tensor and what is not, in JSON and in binary.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { datatypeNames, datatypes, type DatatypeName } from '../../../edge/http/datatypes.ts'
import { readTensors } from '../../../edge/http/tensors.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const bytesOf = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))
const readJson = (body: unknown) => readTensors(encode(typeof body === 'string' ? body : JSON.stringify(body)), null)
const tensor = (more: object = {}) => ({ name: 'x', datatype: 'INT32', shape: [2, 2], data: [1, 2, 3, 4], ...more })
const inputs = (...list: readonly object[]) => ({ inputs: list })

/** JSON with these inputs, and these bytes behind it. */
function binary(list: readonly object[], ...tensors: readonly Uint8Array[]) {
  const json = encode(JSON.stringify({ inputs: list }))
  return readTensors(bytesOf(json, ...tensors), String(json.length))
}

/** BYTES elements as the extension packs them. */
const packed = (...texts: readonly string[]): Uint8Array =>
  bytesOf(
    ...texts.map((text) => {
      const bytes = encode(text)
      return bytesOf(new Uint8Array(new Uint32Array([bytes.length]).buffer), bytes)
    }),
  )

describe('tensors in JSON', () => {
  it('says what it found', () => {
    expect(readJson(inputs(tensor(), tensor({ name: 'y', datatype: 'BYTES', shape: [1, 1], data: [['é']] })))).toEqual({
      ok: true,
      value: [
        { name: 'x', datatype: 'INT32', shape: [2, 2], elements: 4 },
        { name: 'y', datatype: 'BYTES', shape: [1, 1], elements: 1 },
      ],
    })
  })

  it.each([
    [
      'nested',
      tensor({
        data: [
          [1, 2],
          [3, 4],
        ],
      }),
    ],
    ['a scalar', tensor({ shape: [], data: [7] })],
    ['nothing', tensor({ shape: [0, 3], data: [] })],
    ['nested nothing', tensor({ shape: [2, 0], data: [[], []] })],
    ['nothing, however large', tensor({ shape: [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 0], data: [] })],
    ['integers written as floats', '{"inputs":[{"name":"x","datatype":"INT8","shape":[2],"data":[1.0,1e2]}]}'],
    ['unknown fields', tensor({ parameters: { content_type: 'np', headers: { a: 'b' } }, more: 1 })],
    ['null where nothing is set', { id: null, outputs: null, parameters: null, inputs: [tensor({ parameters: null })] }],
    ['outputs', { ...inputs(tensor()), outputs: [{ name: 'y', parameters: { binary_data: true, classification: 3 } }] }],
  ])('accepts %s', (_, body) => {
    const isRequest = typeof body === 'string' || 'inputs' in body
    expect(readJson(isRequest ? body : inputs(body))).toMatchObject({ ok: true })
  })

  const int = (datatype: string, value: string) =>
    readJson(`{"inputs":[{"name":"x","datatype":"${datatype}","shape":[1],"data":[${value}]}]}`).ok

  it.each([
    ['UINT64', '18446744073709551615', true],
    ['UINT64', '18446744073709551616', false],
    ['UINT64', '-1', false],
    ['INT64', '9223372036854775807', true],
    ['INT64', '9223372036854775808', false],
    ['INT64', '-9223372036854775808', true],
    ['INT64', '-9223372036854775809', false],
    ['INT64', '9007199254740993', true],
    ['INT64', '99999999999999999999999', false],
    ['FP64', '12345678901234567890', true],
    ['UINT8', '255', true],
    ['UINT8', '256', false],
    ['INT16', '-32768', true],
    ['INT16', '-32769', false],
    ['INT32', '1.5', false],
    ['FP16', '65504', true],
    ['FP16', '65520', false],
    ['FP32', '3.4028235e38', true],
    ['FP32', '1e39', false],
    ['FP64', '1e308', true],
    ['FP64', '1e309', false],
    ['BF16', '1', false],
    ['BOOL', 'true', true],
    ['BOOL', '1', false],
    ['BYTES', '"a"', true],
    ['BYTES', '1', false],
    ['FP32', 'null', false],
  ])('%s %s: %s', (datatype, value, isIn) => {
    expect(int(datatype, value)).toBe(isIn)
  })

  it.each([
    ['no object', [], 'body', /JSON object/],
    ['no inputs', {}, 'inputs', /missing/],
    ['empty inputs', { inputs: [] }, 'inputs', /at least one/],
    ['an input that is none', { inputs: [3] }, 'inputs[0]', /an object/],
    ['too many', { inputs: Array.from({ length: 257 }, (_, index) => tensor({ name: `${index}` })) }, 'inputs', /256/],
    ['a name twice', inputs(tensor(), tensor()), 'inputs[1].name', /another input/],
    ['no name', inputs(tensor({ name: '' })), 'inputs[0].name', /empty/],
    ['another datatype', inputs(tensor({ datatype: 'FLOAT' })), 'inputs[0].datatype', /one of BOOL, /],
    ['a negative dimension', inputs(tensor({ shape: [2, -1] })), 'inputs[0].shape[1]', /at least 0/],
    ['a broken dimension', inputs(tensor({ shape: [2.5] })), 'inputs[0].shape[0]', /integer/],
    ['no shape', inputs(tensor({ shape: undefined })), 'inputs[0].shape', /missing/],
    ['too many dimensions', inputs(tensor({ shape: Array.from({ length: 33 }, () => 1) })), 'inputs[0].shape', /32/],
    ['too large a shape', inputs(tensor({ shape: [65_536, 65_536] })), 'inputs[0].shape', /2147483647/],
    ['too few elements', inputs(tensor({ data: [1, 2, 3] })), 'inputs[0].data', /\[2, 2\] has 4 elements, but the data has 3/],
    ['too many elements', inputs(tensor({ data: [1, 2, 3, 4, 5] })), 'inputs[0].data', /has more/],
    ['ragged rows', inputs(tensor({ data: [[1, 2, 3], [4]] })), 'inputs[0].data', /differ in length/],
    ['rows and elements', inputs(tensor({ data: [[1], 2] })), 'inputs[0].data', /mixes/],
    ['elements and rows', inputs(tensor({ data: [1, [2]] })), 'inputs[0].data', /mixes/],
    [
      'a long integer in a text where a number belongs',
      inputs(tensor({ shape: [1], data: [', 1234567890123456789,'] })),
      'inputs[0].data',
      /integer/,
    ],
    ['another type', inputs(tensor({ data: [1, 2, 'c', 4] })), 'inputs[0].data', /element 2: expected an integer/],
    ['no data', inputs(tensor({ data: undefined })), 'inputs[0].data', /expected a list/],
    [
      'memory of the server',
      inputs(tensor({ parameters: { shared_memory_region: 'r' } })),
      'inputs[0].parameters.shared_memory_region',
      /shared memory/,
    ],
    [
      'memory of the server for an output',
      { ...inputs(tensor()), outputs: [{ name: 'y', parameters: { shared_memory_offset: 1 } }] },
      'outputs[0].parameters.shared_memory_offset',
      /shared memory/,
    ],
    ['an id that is none', { id: 3, ...inputs(tensor()) }, 'id', /a string/],
    ['parameters that are none', { parameters: [1], ...inputs(tensor()) }, 'parameters', /an object/],
    [
      'binary_data_output',
      { parameters: { binary_data_output: 1 }, ...inputs(tensor()) },
      'parameters.binary_data_output',
      /true or false/,
    ],
  ])('refuses %s', (_, body, param, detail) => {
    const read = readJson(body)
    expect(read).toMatchObject({ ok: false, error: { reason: 'invalid_field', param, detail: expect.stringMatching(detail) } })
  })

  it('does not follow data that nests without end', () => {
    const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
    const asked = (data: string) => readJson(`{"inputs":[{"name":"x","datatype":"INT64","shape":[1],"data":${data}}]}`)
    expect(asked(nested(100_000))).toMatchObject({ ok: false, error: { param: 'inputs[0].data' } })
    expect(asked(nested(2_000_000))).toMatchObject({ ok: false, error: { reason: 'body_too_complex' } })
  })
})

describe('tensors in binary', () => {
  it('takes them in order, beside others in JSON', () => {
    const read = binary(
      [
        { name: 'a', datatype: 'UINT32', shape: [2, 2], parameters: { binary_data_size: 16 } },
        tensor({ name: 'b' }),
        { name: 'c', datatype: 'BOOL', shape: [3], parameters: { binary_data_size: 3 } },
        { name: 'd', datatype: 'BYTES', shape: [2], parameters: { binary_data_size: 11 } },
        { name: 'e', datatype: 'BF16', shape: [0], parameters: { binary_data_size: 0 } },
      ],
      new Uint8Array(16),
      Uint8Array.of(1, 0, 1),
      packed('ab', 'c'),
    )
    expect(read).toMatchObject({ ok: true, value: [{ elements: 4 }, { elements: 4 }, { elements: 3 }, { elements: 2 }, { elements: 0 }] })
  })

  const part = (more: object = {}) => ({ name: 'a', datatype: 'FP16', shape: [2], parameters: { binary_data_size: 4 }, ...more })
  const field = 'inputs[0].parameters.binary_data_size'

  it.each([
    ['a size that is not the datatype’s', [part({ datatype: 'FP32' })], new Uint8Array(4), field, /take 8 bytes, not 4/],
    ['a size beyond the body', [part()], new Uint8Array(3), field, /3 are left/],
    ['bytes of nobody', [part()], new Uint8Array(5), field, /account for 4 bytes, but 5/],
    ['a size that is no number', [part({ parameters: { binary_data_size: '4' } })], new Uint8Array(4), field, /number of bytes/],
    ['data in both forms', [part({ data: [1, 2] })], new Uint8Array(4), 'inputs[0].data', /must be absent/],
    ['a BOOL of 2', [part({ datatype: 'BOOL', shape: [4] })], Uint8Array.of(0, 1, 2, 0), 'inputs[0]', /0 or 1/],
    ['a length beyond the tensor', [part({ datatype: 'BYTES', shape: [1] })], Uint8Array.of(1, 0, 0, 0), field, /do not divide/],
    ['half a length', [part({ datatype: 'BYTES', shape: [1] })], Uint8Array.of(0, 0, 0, 0, 0), field, /account for 4/],
    ['fewer texts than elements', [part({ datatype: 'BYTES', shape: [2] })], Uint8Array.of(0, 0, 0, 0), field, /2 elements/],
  ])('refuses %s', (_, list, tail, param, detail) => {
    expect(binary(list, tail)).toMatchObject({
      ok: false,
      error: { reason: 'invalid_field', param, detail: expect.stringMatching(detail) },
    })
  })

  const json = encode(JSON.stringify(inputs(tensor())))

  it.each(['0', '-1', '1.5', '', 'abc', String(json.length + 1), '999999999999999999'])('refuses the length %j', (length) => {
    expect(readTensors(json, length)).toMatchObject({ ok: false, error: { reason: 'invalid_header' } })
  })

  it('refuses bytes that no input announces, and binary without a length', () => {
    expect(readTensors(bytesOf(json, Uint8Array.of(1)), String(json.length))).toMatchObject({
      ok: false,
      error: { reason: 'invalid_header' },
    })
    expect(readJson(inputs(part()))).toMatchObject({ ok: false, error: { reason: 'invalid_header' } })
  })
})

// What is true of all tensors.

const valueOf: Readonly<Record<DatatypeName, fc.Arbitrary<unknown>>> = {
  BOOL: fc.boolean(),
  UINT8: fc.integer({ min: 0, max: 255 }),
  UINT16: fc.integer({ min: 0, max: 65_535 }),
  UINT32: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  UINT64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  INT8: fc.integer({ min: -128, max: 127 }),
  INT16: fc.integer({ min: -32_768, max: 32_767 }),
  INT32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  INT64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  FP16: fc.integer({ min: -65_504, max: 65_504 }),
  FP32: fc.float({ noNaN: true, noDefaultInfinity: true }),
  FP64: fc.double({ noNaN: true, noDefaultInfinity: true }),
  BF16: fc.constant(0),
  BYTES: fc.string({ unit: 'grapheme' }),
}

type Sample = { readonly input: Record<string, unknown>; readonly text: string; readonly tail: Uint8Array }

const written = (value: unknown): string => (typeof value === 'bigint' ? String(value) : JSON.stringify(value))

function nested(values: readonly unknown[], shape: readonly number[]): string {
  const [, ...rest] = shape
  if (rest.length === 0) return `[${values.map(written).join(',')}]`
  const rowLength = rest.reduce((product, dimension) => product * dimension, 1)
  return `[${Array.from({ length: shape[0]! }, (_, row) => nested(values.slice(row * rowLength, (row + 1) * rowLength), rest)).join(',')}]`
}

const sample = fc
  .record({
    datatype: fc.constantFrom(...datatypeNames),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
    isBinary: fc.boolean(),
    isNested: fc.boolean(),
  })
  .chain(({ datatype, shape, isBinary, isNested }) => {
    const elements = shape.reduce((product, dimension) => product * dimension, 1)
    return fc
      .array(valueOf[datatype], { minLength: elements, maxLength: elements })
      .map((values): Omit<Sample, 'text'> & { data: string } => {
        const asBinary = isBinary || datatype === 'BF16'
        const width = datatypes[datatype].bytes
        const tail = !asBinary ? new Uint8Array(0) : width === null ? packed(...(values as string[])) : new Uint8Array(elements * width)
        const input = { datatype, shape, ...(asBinary ? { parameters: { binary_data_size: tail.length } } : {}) }
        return { input, tail, data: asBinary ? '' : isNested ? nested(values, shape) : `[${values.map(written).join(',')}]` }
      })
  })
const samples = fc.array(sample, { minLength: 1, maxLength: 5 })

type Samples = readonly { readonly input: object; readonly tail: Uint8Array; readonly data: string }[]

function requestOf(list: Samples): { readonly body: Uint8Array; readonly length: string } {
  const texts = list.map(({ input, data }, index) => {
    const head = JSON.stringify({ name: `t${index}`, ...input })
    return data === '' ? head : `${head.slice(0, -1)},"data":${data}}`
  })
  const json = encode(`{"inputs":[${texts.join(',')}]}`)
  return { body: bytesOf(json, ...list.map((one) => one.tail)), length: String(json.length) }
}

const readAll = (list: Samples) => {
  const { body, length } = requestOf(list)
  return readTensors(body, length)
}

describe('for all tensors', () => {
  it('accepts what is well formed', () => {
    fc.assert(
      fc.property(samples, (list) => {
        expect(readAll(list)).toMatchObject({ ok: true, value: list.map(({ input }) => ({ shape: (input as { shape: unknown }).shape })) })
      }),
    )
  })

  it('names the input whose shape, size, datatype or data is off by one', () => {
    const corruptions = ['shape', 'size', 'datatype', 'data'] as const
    fc.assert(
      fc.property(samples, fc.nat(), fc.constantFrom(...corruptions), (list, pick, what) => {
        const at = pick % list.length
        const { input, data, tail } = list[at]! as Samples[number] & { input: { shape: number[]; datatype: string } }
        const size = tail.length
        const isBinary = data === ''
        const broken = {
          // A dimension more of 5 multiplies what is there; of nothing it would leave nothing.
          shape: { input: { ...input, shape: input.shape.includes(0) ? [1] : [...input.shape, 5] }, data, tail },
          size: { input: { ...input, parameters: { binary_data_size: size + 1 } }, data, tail },
          datatype: { input: { ...input, datatype: `${input.datatype}X` }, data, tail },
          data: isBinary ? { input, data, tail: bytesOf(tail, Uint8Array.of(0)) } : { input, data: `[${data},{}]`, tail },
        }[what]
        const isLastBinary = list.slice(at + 1).every((one) => one.data !== '')
        fc.pre(what !== 'data' || !isBinary || isLastBinary)
        const read = readAll(list.with(at, broken))
        expect(read.ok).toBe(false)
        if (!read.ok && read.error.reason === 'invalid_field') expect(read.error.param).toMatch(`inputs[${at}]`)
        else expect(read).toMatchObject({ error: { reason: 'invalid_header' } })
      }),
    )
  })

  it('refuses every cut without throwing', () => {
    fc.assert(
      fc.property(samples, fc.nat(), (list, pick) => {
        const { body, length } = requestOf(list)
        expect(readTensors(body.subarray(0, pick % body.length), length).ok).toBe(false)
      }),
    )
  })

  it('never throws, whatever the bytes', () => {
    const near = fc.string({ unit: fc.constantFrom(...Array.from('{}[]",:0123456789.eE-tfn \\xyz')), maxLength: 60 }).map(encode)
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ maxLength: 200 }), near),
        fc.option(fc.oneof(fc.nat({ max: 250 }).map(String), fc.string())),
        (bytes, length) => {
          expect(typeof readTensors(bytes, length).ok).toBe('boolean')
        },
      ),
    )
    fc.assert(fc.property(fc.json(), (text) => typeof readJson(`{"inputs":[${text}]}`).ok === 'boolean'))
  })
})
