// An object's known fields, as valibot checks them: lists are no objects, and a field that is missing is said to be. Pure.

import * as v from 'valibot'

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value)

/** `entries` checked, every other field kept. */
export const objectOf = <Entries extends v.ObjectEntries>(entries: Entries) =>
  v.pipe(
    v.custom<Record<string, unknown>>(isObject, 'expected an object'),
    v.looseObject(entries, ({ received }) => (received === 'undefined' ? 'it is missing' : 'expected an object')),
  )
