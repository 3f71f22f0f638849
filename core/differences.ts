// In which fields two rows differ: what a diff of versions shows, and what a plan says of the way from one to the other. Pure.

/** What one has not is null. */
export type Difference = { readonly field: string; readonly from: unknown; readonly to: unknown }

type Named = Readonly<Record<string, unknown>>

/** Fields of the row's keeping, in which any two versions differ. */
const kept: readonly string[] = ['id', 'generation', 'createdAtMs', 'updatedAtMs']

/** The fields in which two rows differ, by name; within objects each field for itself, as `flags.ctx`. What one has not is null. */
export function differencesOf(from: Named, to: Named): readonly Difference[] {
  return namesOf(from, to)
    .filter((name) => !kept.includes(name))
    .flatMap((field) => within(field, from[field] ?? null, to[field] ?? null))
}

const namesOf = (from: Named, to: Named): readonly string[] => [...new Set([...Object.keys(from), ...Object.keys(to)])].toSorted()

function within(field: string, from: unknown, to: unknown): readonly Difference[] {
  if (!isObject(from) || !isObject(to)) return JSON.stringify(from) === JSON.stringify(to) ? [] : [{ field, from, to }]
  return namesOf(from, to).flatMap((name) => within(`${field}.${name}`, from[name] ?? null, to[name] ?? null))
}

const isObject = (value: unknown): value is Named => typeof value === 'object' && value !== null && !Array.isArray(value)
