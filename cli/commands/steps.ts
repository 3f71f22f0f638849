// Steps of a rollout as they are typed: "weight=5%,bake=15m,min=100". Pure. It says how a step is written, and leaves to core which
// steps make sense: one judge of that is enough.

import { err, ok, type Result } from '../../shared/result.ts'
import { readDuration, readShare, readTime, spokenBp, spokenMs, spokenTime } from './amounts.ts'
import type { StepRow } from '../api/shapes.ts'

/** A step as core takes it (core/rollout/steps.ts). */
export type TypedStep = Readonly<Record<string, unknown>> & { readonly kind: string }

/** A part of a step: the field it becomes, how it is read, and what it must be. */
type Part = { readonly field: string; readonly read: (text: string) => unknown; readonly must: string }

const whole = (text: string): number | null => (/^\d{1,9}$/.test(text) ? Number(text) : null)
const names = (text: string): readonly string[] | null => (/^[a-z_]+(\+[a-z_]+)*$/.test(text) ? text.split('+') : null)
const yes = (text: string): true | null => (text === '' ? true : null)

const share = (field: string): Part => ({ field, read: readShare, must: 'a share such as 5% or 0.25%, above 0 and up to 100%' })
const duration = (field: string): Part => ({ field, read: readDuration, must: 'a duration such as 30s, 15m or 2h' })

/** By kind: the part that comes first, which is the step's name, and those that may follow. */
const kinds: Readonly<Record<string, { readonly first: Part | null; readonly parts: Readonly<Record<string, Part>> }>> = {
  shadow: { first: share('shareBp'), parts: { for: duration('forMs') } },
  weight: {
    first: share('weightBp'),
    parts: {
      bake: duration('bakeMs'),
      min: { field: 'minRequests', read: whole, must: 'a number of requests' },
      proof: { field: 'proof', read: yes, must: 'without a value' },
    },
  },
  pause: {
    first: { field: 'untilMs', read: (text) => readDate(text), must: 'a date such as 2026-12-24T18:00:00Z, or left out' },
    parts: {},
  },
  analysis: { first: { field: 'gates', read: names, must: 'gates such as accuracy+load' }, parts: { within: duration('withinMs') } },
  approval: { first: null, parts: {} },
}

/** A date alone: a duration would begin when it is typed, and not when the step does. */
const readDate = (text: string): number | null => (readDuration(text) === null ? readTime(text, 0) : null)

/** The shortest way to write a step of each kind, for help texts. */
export const stepExamples: readonly string[] = [
  'shadow=10%,for=10m',
  'weight=5%,bake=15m,min=100',
  'weight=50%,bake=20m,min=2000,proof',
  'pause',
  'analysis=accuracy+load,within=1h',
  'approval',
]

/** The step that a text says; else a sentence that says what is wrong with it. */
export function readStep(text: string): Result<TypedStep, string> {
  const [head = '', ...rest] = text.split(',')
  const { name: kind, value } = partOf(head)
  const known = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined
  if (!known) return err(`"${text}" begins with none of ${Object.keys(kinds).join(', ')}`)
  const step: Record<string, unknown> = { kind }
  const isBare = value === null && (known.first === null || kind === 'pause')
  if (!isBare) {
    const wrong = known.first ? take(step, known.first, { name: kind, value: value ?? '' }) : `"${kind}" takes no value`
    if (wrong !== null) return err(wrong)
  }
  for (const each of rest) {
    const { name, value: said } = partOf(each)
    const part = Object.hasOwn(known.parts, name) ? known.parts[name] : undefined
    if (!part) return err(`"${name}" is no part of ${kind}${partsOf(known.parts)}`)
    if (Object.hasOwn(step, part.field)) return err(`"${name}" is said twice in "${text}"`)
    const wrong = take(step, part, { name, value: said ?? '' })
    if (wrong !== null) return err(wrong)
  }
  return ok({ ...step, kind })
}

function partsOf(parts: Readonly<Record<string, Part>>): string {
  const known = Object.keys(parts)
  return known.length === 0 ? ', which has none' : `; those are ${known.join(', ')}`
}

/** Puts a part into the step; else what is wrong. */
function take(step: Record<string, unknown>, { field, read, must }: Part, { name, value }: { name: string; value: string }): string | null {
  const said = read(value)
  if (said === null) return `${name}=${value}: must be ${must}`
  step[field] = said
  return null
}

function partOf(text: string): { readonly name: string; readonly value: string | null } {
  const at = text.indexOf('=')
  return at < 0 ? { name: text.trim(), value: null } : { name: text.slice(0, at).trim(), value: text.slice(at + 1).trim() }
}

/** The steps of a file: a JSON list of steps, each as core takes it or as it is typed. */
export function readStepsFile(text: string): Result<readonly unknown[], string> {
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch {
    return err('is not JSON')
  }
  if (!Array.isArray(list)) return err('must be a list of steps')
  const steps: unknown[] = []
  for (const [index, each] of list.entries()) {
    const step = typeof each === 'string' ? readStep(each) : ok(each as unknown)
    if (!step.ok) return err(`entry ${index}: ${step.error}`)
    steps.push(step.value)
  }
  return ok(steps)
}

/** A step in words. */
export function spokenStep(step: StepRow): string {
  const { kind } = step
  const number = (field: string): number => Number(step[field] ?? 0)
  switch (kind) {
    case 'shadow':
      return `copies of ${spokenBp(number('shareBp'))} for ${spokenMs(number('forMs'))}`
    case 'weight': {
      const proof = step['proof'] === true ? ', with proof' : ''
      return `${spokenBp(number('weightBp'))} for ${spokenMs(number('bakeMs'))}, ${number('minRequests')} requests${proof}`
    }
    case 'pause':
      return typeof step['untilMs'] === 'number' ? `pause until ${spokenTime(step['untilMs'])}` : 'pause until a person goes on'
    case 'analysis':
      return `analysis: ${String(step['gates'])}, within ${spokenMs(number('withinMs'))}`
    case 'approval':
      return "a person's approval"
    default:
      return kind
  }
}
