// What becomes of a version at a target after a deployer has spoken: states, back-off, and when somebody has tried long enough. Pure: the
// time is an argument. It must never leave a deployment without an end: what loads for ever fails, and so does what fails again and again.

import { limits } from '../../shared/limits.ts'
import type { Deployer, Deployment } from '../facts.ts'
import type { DeployProgress } from '../ports.ts'

/** What changes of a deployment's row. */
export type Change = Pick<Deployment, 'state' | 'detail' | 'attempts' | 'nextAtMs' | 'sinceMs'>

/** A deployment and what its target is made by. */
export type Deployed = { readonly deployment: Deployment; readonly deployer: Deployer }

/**
 * What is to be done with a deployment that is due. `bring`: make the version exist. `register`: it exists, and nobody is routed there yet.
 * `withdraw`: its endpoint goes, so that nobody is routed there any more. `remove`: take it away.
 */
export function taskOf({ isWanted, state, endpoint }: Deployment): 'bring' | 'register' | 'withdraw' | 'remove' {
  if (isWanted) return state === 'ready' ? 'register' : 'bring'
  return endpoint === null ? 'remove' : 'withdraw'
}

/** The row after a deployer's word. An answer that does not fit what was asked of it is an attempt that failed. */
export function stepOf(of: Deployed, progress: DeployProgress, nowMs: number): Change {
  const { deployment } = of
  const end = deployment.isWanted ? 'ready' : 'gone'
  const detail = progress.detail.slice(0, limits.deployDetailCharsMax)
  if (progress.state === end) return { state: end, detail, attempts: 0, nextAtMs: nowMs, sinceMs: since(deployment, end, nowMs) }
  if (progress.state === 'loading') return stillUnderWay(of, detail, nowMs)
  if (progress.state === 'failed') return failed(deployment, detail, progress.mayRetry, nowMs)
  return failed(
    deployment,
    `asked to ${deployment.isWanted ? 'bring' : 'remove'} it, the deployer says ${progress.state}: ${detail}`,
    true,
    nowMs,
  )
}

/** The row of a deployment that waits out the time in which its last requests end. */
export const withdrawn = (nowMs: number): Change => ({
  state: 'unloading',
  detail: 'its endpoint is gone; unloaded when what runs there has had time to end',
  attempts: 0,
  nextAtMs: nowMs + limits.undeployGraceMs,
  sinceMs: nowMs,
})

/** The row of a deployment that can go no further without a person. */
export const stuck = (deployment: Deployment, detail: string, nowMs: number): Change => failed(deployment, detail, false, nowMs)

function stillUnderWay({ deployment, deployer }: Deployed, detail: string, nowMs: number): Change {
  const state = deployment.isWanted ? 'loading' : 'unloading'
  const sinceMs = since(deployment, state, nowMs)
  const tookMs = Math.max(0, nowMs - sinceMs)
  if (tookMs > limits.deployLoadingMsMax)
    return failed(deployment, `${state} for ${Math.round(tookMs / 60_000)} minutes: ${detail}`, false, nowMs)
  const pollMs = Math.min(Math.max(tookMs / 4, limits.deployPollMs), limits.deployPollMsMax)
  // Whoever was told by a webhook reports by himself.
  const waitMs = deployer === 'webhook' ? limits.deployToldAgainMs : Math.round(pollMs)
  // Attempts are kept: something that now fails and now loads has an end too.
  return { state, detail, attempts: deployment.attempts, nextAtMs: nowMs + waitMs, sinceMs }
}

function failed(deployment: Deployment, detail: string, mayRetry: boolean, nowMs: number): Change {
  const attempts = deployment.attempts + 1
  const isOver = !mayRetry || attempts >= limits.deployAttemptsMax
  const state = isOver ? 'failed' : deployment.isWanted ? 'waiting' : 'unloading'
  const backOffMs = Math.min(limits.deployBackoffMs * 2 ** (attempts - 1), limits.deployBackoffMsMax)
  const said = mayRetry && isOver ? `given up after ${attempts} attempts: ${detail}` : detail
  return {
    state,
    detail: said.slice(0, limits.deployDetailCharsMax),
    attempts,
    nextAtMs: isOver ? nowMs : nowMs + backOffMs,
    sinceMs: since(deployment, state, nowMs),
  }
}

/** Since when a state has held; a clock that has stepped back must not make it older than it is. */
const since = ({ state, sinceMs }: Deployment, next: Deployment['state'], nowMs: number): number =>
  state === next ? Math.min(sinceMs, nowMs) : nowMs
