// Whether a version must keep its endpoints: they are shared between environments, so whoever takes them away asks here first. Pure.

import type { VersionId } from '../shared/ids.ts'

/** Phases in which a rollout moves the alias, and holds it against other rollouts. */
export const livePhases = ['warming', 'shifting', 'baking', 'judging', 'paused', 'promoting', 'aborting'] as const

/** Of an alias, and of a rollout (core/rollout/record.ts), what matters here. */
type NamingAlias = { readonly stable: VersionId; readonly canary: VersionId | null }
type NamingRollout = {
  readonly phase: string
  readonly from: VersionId
  readonly to: VersionId
  readonly stableHeldUntilMs: number | null
}

/** Whether an alias of any environment names the version, or a live rollout does, or one that succeeded still holds it. */
export function isInUse(version: VersionId, aliases: readonly NamingAlias[], rollouts: readonly NamingRollout[]): boolean {
  return aliases.some((alias) => names(alias, version)) || rollouts.some((rollout) => holds(rollout, version))
}

const names = ({ stable, canary }: NamingAlias, version: VersionId): boolean => stable === version || canary === version

/** A rollout that moves it, or that succeeded and holds it for the way back. */
export function holds({ phase, from, to, stableHeldUntilMs }: NamingRollout, version: VersionId): boolean {
  const isMoved = livePhases.some((each) => each === phase) && (from === version || to === version)
  return isMoved || (stableHeldUntilMs !== null && from === version)
}
