// Fields that several dialects' bodies have in common. Only what decides something here is checked. Pure.

import * as v from 'valibot'
import type { ModelName } from '../../shared/ids.ts'

export const modelField = v.custom<ModelName>(
  (value) => typeof value === 'string' && value.length > 0 && value.length <= 256,
  'expected the name of a model',
)

/** Clients send null for "not set". */
export const streamField = v.nullish(v.boolean('expected true or false'))
export const textField = v.nullish(v.string('expected a string'))
