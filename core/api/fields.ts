// The kinds of fields that admin bodies are made of, each with the words that tell an operator what is expected.

import * as v from 'valibot'
import { limits } from '../../shared/limits.ts'

/** An id that is good in a path, a metric label and a Durable Object's name. */
export const slug = v.pipe(
  v.string('must be a text'),
  v.regex(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/, 'must be 1 to 64 of a-z, 0-9, ".", "_" and "-", with a letter or digit at both ends'),
)

/** A model's name as clients write it: capitals and an owner's part (`owner/name`) are common in the field. `@` separates cell names. */
export const modelName = v.pipe(
  v.string('must be a text'),
  v.regex(
    /^[A-Za-z0-9](?:[A-Za-z0-9._:/-]{0,126}[A-Za-z0-9])?$/,
    'must be 1 to 128 letters, digits, ".", "_", ":", "/" and "-", with a letter or digit at both ends',
  ),
  // Tables by model name are read with a validator that leaves these keys out, for every object has them already.
  v.check((name) => name !== 'constructor' && name !== 'prototype', 'must not be a name that every object has'),
)

/** A text for people, without line breaks and control characters. */
export const line = (charsMin: number, charsMax: number) =>
  v.pipe(
    v.string('must be a text'),
    v.minLength(charsMin, `must have at least ${charsMin} characters`),
    v.maxLength(charsMax, `must have at most ${charsMax} characters`),
    v.regex(/^\P{Cc}*$/u, 'must not contain control characters'),
  )

/** An operator's own words on why something is done. */
export const reason = line(1, limits.reasonCharsMax)

/** A person, as `isochrone-actor` names whoever writes. */
export const actorName = v.pipe(
  v.string('must be a text'),
  v.regex(
    /^[A-Za-z0-9][A-Za-z0-9@._+-]{0,63}$/,
    'must be 1 to 64 letters, digits, "@", ".", "_", "+" and "-", beginning with a letter or digit',
  ),
)

export const between = (least: number, most: number) =>
  v.pipe(v.number('must be a number'), v.minValue(least, `must be at least ${least}`), v.maxValue(most, `must be at most ${most}`))

export const wholeBetween = (least: number, most: number) => v.pipe(between(least, most), v.integer('must be a whole number'))

export const oneOf = <const Options extends readonly string[]>(options: Options) =>
  v.picklist(options, `must be one of ${options.join(', ')}`)

export const flag = v.boolean('must be true or false')

/** A time in milliseconds since the Unix epoch; the largest is the last that a Date can hold. */
export const timeMs = wholeBetween(0, 8.64e15)

export const digest = v.pipe(
  v.string('must be a text'),
  v.regex(/^sha256:[0-9a-f]{64}$/, 'must be "sha256:" and 64 lower-case hexadecimal digits'),
)

/** An engine's settings, for the record: names and plain values. */
export const flags = v.pipe(
  // To valibot a list is a record too.
  v.custom<object>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'must be an object of names and plain values',
  ),
  v.record(
    line(1, 64),
    v.union(
      [line(0, 512), v.pipe(v.number(), v.finite()), v.boolean()],
      'must be a text of at most 512 characters, a number, true or false',
    ),
  ),
  v.check((value) => Object.keys(value).length <= 64, 'must have at most 64 entries'),
)

/**
 * The base address of a model server, to which `/v1/…` and `/health` are appended: http or https, and nothing that would
 * break that or leak: no user or password, no query, no fragment. Slashes at the end are taken off.
 */
export const baseUrl = v.pipe(
  v.string('must be a text'),
  v.maxLength(2_048, 'must have at most 2048 characters'),
  v.check(isBaseUrl, 'must be an http or https address without user, password, query or fragment'),
  v.transform((text) => new URL(text).href.replace(/\/+$/, '')),
)

/** The address of one page: http or https, with a query where it needs one, but no user, password or fragment. */
export const pageUrl = v.pipe(
  v.string('must be a text'),
  v.maxLength(2_048, 'must have at most 2048 characters'),
  v.check(isPageUrl, 'must be an absolute http or https address without user, password or fragment'),
)

function isPageUrl(text: string): boolean {
  const url = URL.parse(text)
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) return false
  return url.username === '' && url.password === '' && !text.includes('#')
}

function isBaseUrl(text: string): boolean {
  const url = URL.parse(text)
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) return false
  // An empty query or fragment leaves no trace in the parsed address, but would swallow what is appended.
  return url.username === '' && url.password === '' && !/[?#]/.test(text)
}
