// An infer answer taken apart: a JSON object and the binary tensors behind it. Pure.
// The header that tells the length of the JSON is not needed: an object ends where its last bracket closes, and the sizes in it say the rest.

import { isRecord, parseJsonText, type Json } from './json.ts'

export type TensorParts = {
  readonly json: Json
  /** Bytes of binary tensors at the body's end; null when the JSON has no outputs, or they and the body do not agree. */
  readonly binaryBytes: number | null
}

/** Null when the body does not begin with a JSON object. */
export function splitTensors(body: Uint8Array): TensorParts | null {
  const end = objectEnd(body)
  const json = end === null ? null : parseJsonText(new TextDecoder().decode(body.subarray(0, end)))
  if (end === null || !isRecord(json)) return null
  const sizes = sizesOf(json['outputs'])
  if (sizes === null) return { json, binaryBytes: null }
  const binaryBytes = sizes.reduce((sum, size) => sum + size, 0)
  // Between the two there may be white space; it belongs to the JSON.
  const gap = body.subarray(end, Math.max(end, body.length - binaryBytes))
  const agrees = body.length - binaryBytes >= end && gap.every(isSpace)
  return { json, binaryBytes: agrees ? binaryBytes : null }
}

/** Bytes that each output takes in binary, 0 for those in JSON; null when one is no tensor or has no data. */
function sizesOf(outputs: unknown): readonly number[] | null {
  if (!Array.isArray(outputs)) return null
  const sizes = outputs.map(sizeOf)
  return sizes.every((size) => size !== null) ? sizes : null
}

function sizeOf(output: unknown): number | null {
  if (!isRecord(output) || typeof output['name'] !== 'string') return null
  if (typeof output['datatype'] !== 'string' || !Array.isArray(output['shape'])) return null
  const size = isRecord(output['parameters']) ? output['parameters']['binary_data_size'] : undefined
  if (size === undefined) return Array.isArray(output['data']) ? 0 : null
  return typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : null
}

const [quote, backslash, openBrace, closeBrace, openBracket, closeBracket] = [34, 92, 123, 125, 91, 93]

/** The index after the object that the bytes begin with; null when they begin with none, or it has no end. */
function objectEnd(bytes: Uint8Array): number | null {
  let at = bytes.findIndex((byte) => !isSpace(byte))
  if (bytes[at] !== openBrace) return null
  let depth = 0
  for (; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === quote) at = stringEnd(bytes, at)
    else if (byte === openBrace || byte === openBracket) depth++
    else if (byte === closeBrace || byte === closeBracket) depth--
    if (depth === 0) return at + 1
  }
  return null
}

/** The index of the quote that closes the string which begins at `from`. */
function stringEnd(bytes: Uint8Array, from: number): number {
  for (let at = from + 1; at < bytes.length; at++) {
    if (bytes[at] === backslash) at++
    else if (bytes[at] === quote) return at
  }
  return bytes.length
}

const isSpace = (byte: number): boolean => byte === 32 || byte === 10 || byte === 13 || byte === 9
