// The words of problem documents for new versions and their rollouts: what core/api/problem.ts says of the other refusals.

import type { AdminRefusal } from '../../shared/refusal.ts'
import { unreachable } from '../../shared/result.ts'
import type { Told } from './problem.ts'

type RolloutProblem = Extract<
  AdminRefusal,
  {
    readonly reason:
      | 'plan_refused'
      | 'rollout_refused'
      | 'rollout_active'
      | 'alias_moved'
      | 'gate_failed'
      | 'broken_report'
      | 'not_comparable'
      | 'scope_missing'
  }
>
type Of<Reason extends RolloutProblem['reason']> = Extract<RolloutProblem, { readonly reason: Reason }>

export function tellOfRollout(refusal: RolloutProblem): Told {
  switch (refusal.reason) {
    case 'plan_refused':
      return planRefused(refusal)
    case 'rollout_refused':
      return rolloutRefused(refusal)
    case 'rollout_active':
      return {
        status: 409,
        title: 'Rollout active',
        detail: `A rollout moves the alias of "${refusal.model}" in ${refusal.environment}${named(refusal.rollout)}. End it first, or wait until it is over.`,
        extra: { environment: refusal.environment, model: refusal.model, rollout: refusal.rollout },
      }
    case 'alias_moved':
      return {
        status: 409,
        title: 'Alias moved',
        detail: `The alias of "${refusal.model}" in ${refusal.environment} was written by somebody else meanwhile. Read it, and plan again.`,
        extra: { environment: refusal.environment, model: refusal.model },
      }
    case 'gate_failed':
      return {
        status: 409,
        title: 'Gate failed',
        detail: `${gatesOf(refusal)}. Mend the version, or set the gate to another mode, with a reason.`,
        extra: { verdicts: refusal.verdicts },
      }
    case 'broken_report':
      return {
        status: 422,
        title: 'Broken report',
        detail: `This is no ${refusal.what} that can be kept: ${refusal.field} ${refusal.detail}.`,
        extra: { field: refusal.field, pointer: pointerOf(refusal.field) },
      }
    case 'not_comparable':
      return {
        status: 422,
        title: 'Not comparable',
        detail: `The reports cannot be compared: ${refusal.field} is ${refusal.measured} in one, and ${refusal.reference} in the reference. Measure both on the same whole set under the same settings.`,
        extra: { field: refusal.field, measured: refusal.measured, reference: refusal.reference },
      }
    case 'scope_missing':
      return {
        status: 403,
        title: 'Scope missing',
        detail: `This needs the scope "${refusal.scope}", which this operator does not have.`,
        extra: { scope: refusal.scope },
      }
    default:
      return unreachable(refusal)
  }
}

/** What somebody else's write may cure, as opposed to what is wrong in the request. */
const conflicts: readonly string[] = ['rollout_active', 'canary_set', 'stable_moved']

function planRefused({ faults }: Of<'plan_refused'>): Told {
  const sentences = faults.map(({ pointer, detail }) => `${pointer}: ${detail}`).join('; ')
  return {
    status: faults.some(({ reason }) => conflicts.includes(reason)) ? 409 : 422,
    title: 'Plan refused',
    detail: `This rollout cannot start. ${sentences}.`,
    extra: { faults, ...(faults[0] && { pointer: faults[0].pointer }) },
  }
}

const statuses: Readonly<Record<string, number>> = { scope_missing: 403, second_approver_missing: 403, reason_missing: 422 }

function rolloutRefused({ why, detail, allowed }: Of<'rollout_refused'>): Told {
  return {
    status: statuses[why] ?? 409,
    title: 'Rollout refused',
    detail: `The rollout stays as it is: ${detail}.`,
    extra: { why, allowed },
  }
}

const named = (rollout: string | null): string => (rollout === null ? '' : `: "${rollout}"`)

/** The first failing check of each verdict, in its own words. */
function gatesOf({ verdicts }: Of<'gate_failed'>): string {
  const said = verdicts.map(({ gate, answer, checks }) => {
    const check = checks.find((each) => each.answer === answer) ?? checks[0]
    return check ? `${gate}: ${answer}, ${check.metric} ${check.reason}` : `${gate}: ${answer}`
  })
  return said.length > 0 ? `The gates do not let it pass. ${said.join('; ')}` : 'The gates do not let it pass'
}

/** A place as a report's reader names it: a path with dots, or one word for the whole. */
function pointerOf(field: string): string {
  return field === 'report' || field === 'run' ? '#' : `#/${field.replaceAll('.', '/')}`
}
