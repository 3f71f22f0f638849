// The gates of a rollout as an operator writes them, and those of one that names none. Pure.

import * as v from 'valibot'
import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { gateModes, type GateMode } from '../../shared/wire/gate.ts'
import type { FieldFault } from './steps.ts'

/** Names may be unknown: the plan says so (unknown_gate), with the known ones. */
export type AskedGate = { readonly gate: string; readonly mode: GateMode }

const schema = v.pipe(
  v.array(
    v.strictObject({
      gate: v.pipe(v.string('must be the name of a gate'), v.minLength(1, 'must be the name of a gate'), v.maxLength(64, 'is no gate')),
      mode: v.picklist(gateModes, `must be one of ${gateModes.join(', ')}`),
    }),
    'must be a list of {gate, mode}',
  ),
  v.maxLength(limits.rolloutGatesMax, `must have at most ${limits.rolloutGatesMax} gates`),
)

/**
 * What every rollout is judged by. The load gate is asked where the model declares an operating point. Nobody has to name these; naming one
 * changes its mode.
 */
export const defaultGates = (isLoadDeclared: boolean): readonly AskedGate[] => [
  { gate: 'accuracy', mode: 'abort' },
  ...(isLoadDeclared ? [{ gate: 'load', mode: 'pause' as const }] : []),
  { gate: 'readiness', mode: 'pause' },
  { gate: 'fast_guard', mode: 'abort' },
  { gate: 'no_harm', mode: 'abort' },
  { gate: 'not_worse', mode: 'pause' },
]

/** The default gates with the modes that `value` says, then the others it names; or every fault in it. Nothing said: the default ones. */
export function readGates(value: unknown, isLoadDeclared: boolean): Result<readonly AskedGate[], readonly FieldFault[]> {
  const usual = defaultGates(isLoadDeclared)
  if (value === undefined || value === null) return ok(usual)
  const parsed = v.safeParse(schema, value)
  if (!parsed.success) {
    return err(
      parsed.issues.map((issue) => ({
        pointer: `#/gates${(issue.path ?? []).map(({ key }) => `/${encodeURIComponent(String(key))}`).join('')}`,
        detail: issue.type === 'strict_object' ? 'must have gate and mode, and nothing else' : issue.message,
      })),
    )
  }
  const twice = parsed.output.findIndex(({ gate }, index) => parsed.output.findIndex((each) => each.gate === gate) !== index)
  if (twice >= 0) return err([{ pointer: `#/gates/${twice}/gate`, detail: 'must not be named twice' }])
  const named = new Map(parsed.output.map(({ gate, mode }) => [gate, mode]))
  const others = parsed.output.filter(({ gate }) => !usual.some((each) => each.gate === gate))
  return ok([...usual.map(({ gate, mode }) => ({ gate, mode: named.get(gate) ?? mode })), ...others])
}
