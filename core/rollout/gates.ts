// The gates of a rollout as an operator writes them, and those of one that names none. Pure.

import * as v from 'valibot'
import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { gateModes, gateNames, type GateMode, type GateName } from '../../shared/wire/gate.ts'
import type { FieldFault } from './steps.ts'

export type AskedGate = { readonly gate: GateName; readonly mode: GateMode }

/** What is wrong in a list of gates, and where. */
export type GateFault = FieldFault & { readonly reason: 'gates_invalid' | 'unknown_gate' }

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
  ...(isLoadDeclared ? [{ gate: 'load', mode: 'pause' } as const] : []),
  { gate: 'readiness', mode: 'pause' },
  { gate: 'fast_guard', mode: 'abort' },
  { gate: 'no_harm', mode: 'abort' },
  { gate: 'not_worse', mode: 'pause' },
]

/** The default gates with the modes that `value` says, then the others it names; or every fault in it. Nothing said: the default ones. */
export function readGates(value: unknown, isLoadDeclared: boolean): Result<readonly AskedGate[], readonly GateFault[]> {
  const usual = defaultGates(isLoadDeclared)
  if (value === undefined || value === null) return ok(usual)
  const parsed = v.safeParse(schema, value)
  if (!parsed.success) return err(parsed.issues.map(faultOf))
  const faults = parsed.output.flatMap(({ gate }, index, all): readonly GateFault[] => {
    const pointer = `#/gates/${index}/gate`
    if (all.findIndex((each) => each.gate === gate) < index)
      return [{ reason: 'gates_invalid', pointer, detail: 'must not be named twice' }]
    return isKnown(gate) ? [] : [{ reason: 'unknown_gate', pointer, detail: `"${gate}" is not one of the gates: ${gateNames.join(', ')}` }]
  })
  if (faults.length > 0) return err(faults)
  const named = parsed.output.filter((each): each is AskedGate => isKnown(each.gate))
  const modes = new Map(named.map(({ gate, mode }) => [gate, mode]))
  const others = named.filter(({ gate }) => !usual.some((each) => each.gate === gate))
  return ok([...usual.map(({ gate, mode }) => ({ gate, mode: modes.get(gate) ?? mode })), ...others])
}

const isKnown = (gate: string): gate is GateName => gateNames.some((each) => each === gate)

const faultOf = (issue: v.BaseIssue<unknown>): GateFault => ({
  reason: 'gates_invalid',
  pointer: `#/gates${(issue.path ?? []).map(({ key }) => `/${encodeURIComponent(String(key))}`).join('')}`,
  detail: issue.type === 'strict_object' ? 'must have gate and mode, and nothing else' : issue.message,
})
