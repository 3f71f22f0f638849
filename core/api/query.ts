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

/** Whether a write is only to be tried. Refusal: invalid_field. */
export function readDryRun(address: string): Result<boolean, AdminRefusal> {
  const query = readQuery(address, ['dry_run'])
  if (!query.ok) return query
  const said = query.value['dry_run'] ?? 'false'
  return said === 'true' || said === 'false' ? ok(said === 'true') : refuseParameter('dry_run', 'must be true or false')
}
