// The list of models as the OpenAI dialect shows it: those that have an alias in the key's environment and that the key may use. Pure.

import type { Credential } from '../../shared/wire/credential.ts'
import type { Alias, Snapshot } from '../../shared/wire/snapshot.ts'

export type ModelView = { readonly id: string; readonly object: 'model'; readonly created: number; readonly owned_by: string }

const viewOf = (alias: Alias): ModelView => ({
  id: alias.model,
  object: 'model',
  created: Math.floor(alias.createdAtMs / 1000),
  owned_by: 'isochrone',
})

/** Models a key may use, by name. */
export function modelsFor(snapshot: Snapshot, credential: Credential): readonly ModelView[] {
  return snapshot.aliases
    .filter(
      (alias) => alias.environment === credential.environment && (credential.models === null || credential.models.includes(alias.model)),
    )
    .map(viewOf)
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
}
