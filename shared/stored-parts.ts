// Values of a Durable Object's storage that may outgrow the platform's 2 MB. A larger one is kept as JSON in parts: the key is then their
// count, `key/0` the first. All are written in one put, so at once or not at all.

import { limits } from './limits.ts'

/** What to put for a value. */
export function partsToStore(key: string, value: unknown): Readonly<Record<string, unknown>> {
  const text = JSON.stringify(value)
  const most = limits.storedPartCharsMax
  const parts = Array.from({ length: Math.ceil(text.length / most) }, (_, index) => text.slice(index * most, (index + 1) * most))
  if (parts.length <= 1) return { [key]: value }
  return { [key]: parts.length, ...Object.fromEntries(parts.map((part, index) => [`${key}/${index}`, part])) }
}

/** The value of a key, whole; undefined when there is none. No value that is kept this way is itself a number. */
export async function storedWhole(get: (key: string) => Promise<unknown>, key: string): Promise<unknown> {
  const stored = await get(key)
  if (typeof stored !== 'number') return stored
  const parts = await Promise.all(Array.from({ length: stored }, (_, index) => get(`${key}/${index}`)))
  return JSON.parse(parts.join(''))
}
