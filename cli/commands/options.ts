// How options are read, each once: commander calls these with the text, and an InvalidArgumentError is a usage error.

import { InvalidArgumentError, Option } from 'commander'
import { environments, type Environment } from '../../shared/ids.ts'
import { readDuration, readTarget } from './amounts.ts'
import { readStep, type TypedStep } from './steps.ts'

/** Throws InvalidArgumentError unless it is a duration with a unit, of at least a millisecond. */
export function duration(text: string): number {
  const ms = readDuration(text)
  if (ms === null || ms < 1) throw new InvalidArgumentError('It must be a duration such as 30s, 15m or 2h.')
  return ms
}

/** A duration, or a number of seconds. */
export const seconds = (text: string): number => duration(/^\d+(\.\d+)?$/.test(text) ? `${text}s` : text)

export function target(text: string): number {
  const bp = readTarget(text)
  if (bp === null) throw new InvalidArgumentError('It must be a share from 0.9 to 1, such as 0.99 or 0.999.')
  return bp
}

/** A reader of whole numbers within two bounds. */
export const wholeFrom =
  (least: number, most: number) =>
  (text: string): number => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= least && value <= most) return value
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
  }

/** A number above 0 and up to `most`. */
export const above0 =
  (most: number) =>
  (text: string): number => {
    const value = Number(text)
    if (/^\d+(\.\d+)?$/.test(text) && value > 0 && value <= most) return value
    throw new InvalidArgumentError(`It must be a number above 0, at most ${most}.`)
  }

export const collect = (text: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), text]

export function step(text: string, before: readonly TypedStep[] | undefined): readonly TypedStep[] {
  const read = readStep(text)
  if (!read.ok) throw new InvalidArgumentError(`${read.error}.`)
  return [...(before ?? []), read.value]
}

/** "accuracy=observe". Which gates and modes there are is core's to say. */
export type TypedGate = { readonly gate: string; readonly mode: string }

export function gate(text: string, before: readonly TypedGate[] | undefined): readonly TypedGate[] {
  const [, name, mode] = /^([a-z_]+)=([a-z_]+)$/.exec(text) ?? []
  if (name === undefined || mode === undefined) throw new InvalidArgumentError('It must be a gate and its mode, such as accuracy=observe.')
  return [...(before ?? []), { gate: name, mode }]
}

/** "ctx=4096": numbers and true or false as such, the rest as text. */
export function flag(text: string, before: Readonly<Record<string, FlagValue>> | undefined): Readonly<Record<string, FlagValue>> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('It must be a name and a value, such as ctx=4096.')
  return { ...before, [text.slice(0, at)]: flagValue(text.slice(at + 1)) }
}

type FlagValue = string | number | boolean

function flagValue(text: string): FlagValue {
  if (text === 'true' || text === 'false') return text === 'true'
  return /^-?\d{1,15}(\.\d{1,15})?$/.test(text) ? Number(text) : text
}

export const environmentOption = (): Option =>
  new Option('-e, --env <environment>', 'development, staging or production').choices(environments).makeOptionMandatory()

export const reasonOption = (): Option => new Option('-r, --reason <text>', 'why, in your own words; it is kept for ever')

export type WithEnvironment = { readonly env: Environment }
