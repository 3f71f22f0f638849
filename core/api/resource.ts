// What a resource of the admin API is: of one kind of rows its path, what a create and a change may say, and rules that span several fields;
// and what most of them have in common.

import * as v from 'valibot'
import type { EndpointId, ModelName, RegionName, TargetId, TenantId, VersionId, WebhookId } from '../../shared/ids.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { ok, type Result } from '../../shared/result.ts'
import type { Amendment, Draft, Fields, Kind, Row } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import { modelName, slug } from './fields.ts'

/** What a row is made with. */
export type Making = Pick<AdminPorts, 'clock' | 'freshId' | 'seal' | 'allowPrivateEndpoints'> & { readonly actor: string }
type Entries = v.StrictObjectSchema<v.ObjectEntries, undefined>

/** What a create makes of its body: the row, and what is shown in its answer and never again. */
export type Made<K extends Kind> = { readonly draft: Draft<K>; readonly shownOnce: Readonly<Record<string, string>> }

export type Resource<K extends Kind = Kind> = {
  readonly kind: K
  readonly path: string
  /** Names of the path's parameters, in the order of the key's parts. */
  readonly params: readonly string[]
  readonly create: Entries
  /** null: rows of this kind are never changed. */
  readonly change: Entries | null
  /** Takes a body that passed `create`. */
  make(body: object, making: Making): Promise<Result<Made<K>, AdminRefusal>>
  /** Takes a body that passed `change`, and the row as it is. */
  amend(body: object, before: Row<K>, making: Making): Promise<Result<Amendment<K>, AdminRefusal>>
  /** Rules that span fields, on the row as it would be. */
  check(fields: Fields[K]): AdminRefusal | null
}

const branded = <Name extends string>(schema: v.GenericSchema<string, string>) =>
  v.pipe(
    schema,
    v.transform((text) => text as Name),
  )
export const regionName = branded<RegionName>(slug)
export const versionId = branded<VersionId>(slug)
export const endpointId = branded<EndpointId>(slug)
export const tenantId = branded<TenantId>(slug)
export const targetId = branded<TargetId>(slug)
export const webhookId = branded<WebhookId>(slug)
export const model = branded<ModelName>(modelName)

export const noCheck = () => null

/** The usual make: the body is the row. */
export function asItIs<K extends Exclude<Kind, 'key' | 'endpoint'>>(body: object): Promise<Result<Made<K>, AdminRefusal>> {
  return Promise.resolve(ok({ draft: body as Draft<K>, shownOnce: {} }))
}

/** The usual amend: the body is the change. */
export function asNamed<K extends Exclude<Kind, 'endpoint'>>(body: object): Promise<Result<Amendment<K>, AdminRefusal>> {
  return Promise.resolve(ok(body as Amendment<K>))
}
