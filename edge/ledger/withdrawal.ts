// Whether an alias still serves the version that a request was assigned to, by the ledger's own snapshot: an isolate may not have heard yet
// that a version was withdrawn, and must not be given places on it until it has. Never touches what is on its way: a lease that was granted
// stays. Pure.

import type { VersionId } from '../../shared/ids.ts'
import type { Ask } from '../../shared/wire/ledger.ts'
import { aliasNameOf, type AliasName } from '../../shared/wire/trial.ts'
import type { Alias, Snapshot } from '../../shared/wire/snapshot.ts'

/** The aliases of a snapshot by name; each ask looks one up. */
export type Aliases = ReadonlyMap<AliasName, Alias>

export const aliasesOf = ({ aliases }: Snapshot): Aliases =>
  new Map(aliases.map((alias) => [aliasNameOf(alias.environment, alias.model), alias]))

type Assigned = Pick<Ask, 'alias' | 'forced' | 'shadow' | 'version'>

/** Whether the request may no longer have a place. One without an alias, of an alias that is not known here, or forced, may. */
export const isWithdrawn = (aliases: Aliases, asked: Assigned): boolean => !asked.forced && isUnserved(aliases, asked)

/** Whether the alias gives its version to nobody, whoever was let in to it all the same. */
export function isUnserved(aliases: Aliases, { alias: name, version, shadow }: Assigned): boolean {
  const alias = name === undefined ? undefined : aliases.get(name)
  return alias !== undefined && !serves(alias, version, shadow ?? false)
}

/** A canary serves while it has a weight; copies go to it as long as any are made. */
const serves = ({ stable, canary, weightBp, shadowBp }: Alias, version: VersionId, shadow: boolean): boolean =>
  version === stable || (version === canary && (weightBp > 0 || (shadow && shadowBp > 0)))
