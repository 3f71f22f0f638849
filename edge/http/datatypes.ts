// The tensor datatypes of the Open Inference Protocol: what one element is in JSON, and how many bytes it takes in binary. Pure.
// Nothing here converts a value: the caller's bytes travel on as they came, so a 64-bit integer keeps its last digit.

export type Datatype = {
  /** Bytes of one element in binary; null where elements bring their own length. */
  readonly bytes: number | null
  /** Whether a JSON value is an element. */
  readonly accepts: (value: unknown) => boolean
  /** What an element must be, for the sentence that refuses another. */
  readonly expects: string
}

const integer = (bits: number, isSigned: boolean): Datatype => {
  const low = isSigned ? -(2n ** BigInt(bits - 1)) : 0n
  const above = isSigned ? 2n ** BigInt(bits - 1) : 2n ** BigInt(bits)
  const [lowNumber, aboveNumber] = [Number(low), Number(above)]
  return {
    bytes: bits / 8,
    accepts: (value) => typeof value === 'number' && Number.isInteger(value) && value >= lowNumber && value < aboveNumber,
    expects: `an integer from ${low} to ${above - 1n}`,
  }
}

/** `below`: the first magnitude that rounds to infinity. */
const float = (bits: number, below: number): Datatype => ({
  bytes: bits / 8,
  accepts: (value) => typeof value === 'number' && Math.abs(value) < below,
  expects: `a number that ${bits} bits can hold`,
})

const byName = {
  BOOL: { bytes: 1, accepts: (value) => typeof value === 'boolean', expects: 'true or false' },
  UINT8: integer(8, false),
  UINT16: integer(16, false),
  UINT32: integer(32, false),
  UINT64: integer(64, false),
  INT8: integer(8, true),
  INT16: integer(16, true),
  INT32: integer(32, true),
  INT64: integer(64, true),
  // IEEE 754: the largest finite value and half the step that would follow it.
  FP16: float(16, 65_520),
  FP32: float(32, (2 - 2 ** -24) * 2 ** 127),
  FP64: float(64, Infinity),
  // The protocol knows no JSON form of it.
  BF16: { bytes: 2, accepts: () => false, expects: 'binary data: BF16 has no form in JSON' },
  BYTES: { bytes: null, accepts: (value) => typeof value === 'string', expects: 'a string' },
} satisfies Record<string, Datatype>

export type DatatypeName = keyof typeof byName

export const datatypes: Readonly<Record<DatatypeName, Datatype>> = byName
export const datatypeNames = Object.keys(byName) as readonly DatatypeName[]

/** An integer of 19 or 20 digits, between what may stand beside a number. */
const longInteger = /(?<=[[,:\s])-?\d{19,20}(?=[\],}\s])/g

/**
 * `json` with each such integer replaced by a round one that the same 64-bit types hold: near their bounds a number rounds away whether it
 * fits. Null when there is none. For `accepts` alone; the same digits inside a string are replaced as well.
 */
export function withRoundIntegers(json: string): string | null {
  let isChanged = false
  const text = json.replace(longInteger, (digits) => {
    isChanged = true
    const value = BigInt(digits)
    if (BigInt.asIntN(64, value) === value) return value < 0n ? '-1e18' : '1e18'
    return BigInt.asUintN(64, value) === value ? '1e19' : '1e20'
  })
  return isChanged ? text : null
}
