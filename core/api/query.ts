// Query parameters: each known and given once, for a misspelt `dry_run` would write.

import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'

export type Query = Readonly<Record<string, string>>

export const refuseParameter = (param: string, detail: string) =>
  err({ reason: 'invalid_field', param, detail, pointer: `?${param}` } as const)

/** The parameters of an address, by name. Refusal: invalid_field, for one that is not known or is given twice. */
export function readQuery(address: string, known: readonly string[]): Result<Query, AdminRefusal> {
  const given = [...new URL(address).searchParams]
  const names = given.map(([name]) => name)
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined) {
    return refuseParameter(
      unknown,
      known.length > 0 ? `is not a parameter here; those are ${known.join(', ')}` : 'is a parameter, and none is known here',
    )
  }
  const repeated = names.find((name, index) => names.indexOf(name) < index)
  return repeated === undefined ? ok(Object.fromEntries(given)) : refuseParameter(repeated, 'must be given once')
}

/** A parameter that is one of a list; null where it is left out. Refusal: invalid_field. */
export function readOneOf<const Options extends readonly string[]>(
  query: Query,
  param: string,
  options: Options,
): Result<Options[number] | null, AdminRefusal> {
  const said = query[param]
  if (said === undefined) return ok(null)
  const found = options.find((option) => option === said)
  return found === undefined ? refuseParameter(param, `must be one of ${options.join(', ')}`) : ok(found)
}

/** A parameter that is a whole number in a range; null where it is left out. Refusal: invalid_field. */
export function readWhole(query: Query, param: string, [least, most]: readonly [number, number]): Result<number | null, AdminRefusal> {
  const said = query[param]
  if (said === undefined) return ok(null)
  const number = /^\d{1,15}$/.test(said) ? Number(said) : Number.NaN
  return number >= least && number <= most ? ok(number) : refuseParameter(param, `must be a whole number from ${least} to ${most}`)
}

/** A parameter without which there is no answer. Refusal: invalid_field. */
export function readNeeded(query: Query, param: string): Result<string, AdminRefusal> {
  const said = query[param]
  return said === undefined || said === '' ? refuseParameter(param, 'is required') : ok(said)
}

/** Whether a write is only to be tried. Refusal: invalid_field. */
export function readDryRun(address: string): Result<boolean, AdminRefusal> {
  const query = readQuery(address, ['dry_run'])
  if (!query.ok) return query
  const said = query.value['dry_run'] ?? 'false'
  return said === 'true' || said === 'false' ? ok(said === 'true') : refuseParameter('dry_run', 'must be true or false')
}
