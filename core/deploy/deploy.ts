// Deploying: what rollouts and operators want of versions becomes so at targets. Runs beside the loop's turns, never two at once. It stores
// what is to be so before it calls anybody, and calls again what it cannot know: a crash at any await and a repetition give the same.
// It must never route anybody to what is not there: an endpoint's row comes after the version is ready, and goes before it is unloaded.

import { sha256Hex } from '../../shared/hash.ts'
import { limits } from '../../shared/limits.ts'
import type { Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import type { Deployment, Draft, Stamp } from '../facts.ts'
import { isInUse } from '../in-use.ts'
import type { DeployedVersion, DeployTarget, LoopPorts } from '../ports.ts'
import { servedNameOf } from '../served-name.ts'
import { wishesOf, type Wish } from './effects.ts'
import { endpointDraft, endpointIdOf, idTextOf } from './endpoint.ts'
import { stepOf, stuck, taskOf, withdrawn, type Change } from './step.ts'

export type DeployPorts = Pick<LoopPorts, 'clock' | 'outbox' | 'deployments' | 'deployers' | 'rows' | 'freshId'>

type Due = { readonly deployment: Deployment; readonly target: DeployTarget; readonly version: DeployedVersion }
type Rows = { readonly endpoint: Draft<'endpoint'> | null; readonly endpointGone: Deployment['endpoint'] }

const noRows: Rows = { endpoint: null, endpointGone: null }

/**
 * One pass: takes what rollouts have asked for since the last, and moves at most limits.deploysAtOnceMax deployments by one step each.
 * `nowMs` is when it begins. Rejects when something could not be stored or read, after all else was done; the next pass meets it again.
 */
export async function carryOut(ports: DeployPorts, nowMs: number): Promise<void> {
  const faults: string[] = []
  const noted = (cause: unknown): void => void faults.push(cause instanceof Error ? cause.message : String(cause))
  await takeWishes(ports, nowMs).catch(noted)
  const due = await ports.deployments.due(nowMs, limits.deploysAtOnceMax).catch((cause: unknown) => {
    noted(cause)
    return []
  })
  await Promise.all(due.map((each) => advance(each, ports).catch(noted)))
  if (faults.length > 0) throw new Error([...new Set(faults)].join('; '))
}

async function takeWishes(ports: DeployPorts, nowMs: number): Promise<void> {
  const undone = await ports.outbox.undone(['deploy', 'undeploy'], limits.deployEffectsMax)
  const { wishes, unreadable } = wishesOf(undone)
  for (const wish of wishes) await take(wish, ports, nowMs)
  if (unreadable.length === 0) return
  // They would be read again for ever, and in the end nothing else.
  await ports.outbox.done(idsOf(unreadable), nowMs)
  throw new Error(`the outbox has rows that name no version: ${idsOf(unreadable).join(', ')}`)
}

/** A version that somebody uses stays, and the wish to take it away is done all the same: whoever uses it last will ask again. */
async function take({ version, isWanted, rows }: Wish, ports: DeployPorts, nowMs: number): Promise<void> {
  const rollout = rows.at(-1)?.rollout ?? ''
  const stamp = stampOf(ports, nowMs, `${isWanted ? 'wanted' : 'released'} by rollout ${rollout}`)
  const isKept = !isWanted && (await isUsed(version, ports))
  if (!isKept) await ports.deployments.want(version, isWanted, null, stamp)
  if (isWanted) await lookAgain(version, ports, stamp)
  await ports.outbox.done(idsOf(rows), nowMs)
}

/**
 * A server may have lost what it once had, and would be found out by requests alone: it is brought again, which does nothing where it is
 * there. Its endpoint stays meanwhile. Whoever is told by webhook knows for himself, and would be asked to report again.
 */
async function lookAgain(version: Wish['version'], ports: DeployPorts, stamp: Stamp): Promise<void> {
  const { deployments } = ports
  const all = await deployments.list({ version, afterKey: null, limit: limits.deploymentsOfVersionMax })
  const there = all.filter(({ isWanted, state, endpoint }) => isWanted && state === 'ready' && endpoint !== null)
  const model = there.length > 0 ? (await ports.rows.get('version', [version]))?.model : undefined
  const told = new Set(
    (model ? await deployments.targetsOf(model) : []).filter(({ deployer }) => deployer !== 'webhook').map(({ id }) => id),
  )
  const anew: Change = { state: 'waiting', detail: 'looked for again', attempts: 0, nextAtMs: stamp.atMs, sinceMs: stamp.atMs }
  // Where somebody else was sooner there is nothing to say.
  for (const each of there) if (told.has(each.target)) await deployments.step(each, anew, noRows, stamp)
}

async function isUsed(version: Wish['version'], { deployments }: DeployPorts): Promise<boolean> {
  const { aliases, rollouts } = await deployments.uses(version)
  return isInUse(version, aliases, rollouts)
}

/** One step of one deployment. */
async function advance(due: Due, ports: DeployPorts): Promise<void> {
  const { deployment } = due
  switch (taskOf(deployment)) {
    case 'bring':
      return bring(due, ports)
    case 'register':
      return register(due, { detail: deployment.detail, servedName: servedNameOf(due.version, due.target.deployer) }, ports)
    case 'withdraw':
      return store(due, { ...withdrawn(ports.clock.nowMs()), endpoint: null }, { endpoint: null, endpointGone: deployment.endpoint }, ports)
    case 'remove': {
      const progress = await ports.deployers.remove(due.target, due.version)
      return store(due, stepOf(deployedOf(due), progress, ports.clock.nowMs()), noRows, ports)
    }
  }
}

async function bring(due: Due, ports: DeployPorts): Promise<void> {
  const progress = await ports.deployers.bring(due.target, due.version)
  if (progress.state === 'ready' && due.deployment.endpoint === null) return register(due, progress, ports)
  return store(due, stepOf(deployedOf(due), progress, ports.clock.nowMs()), noRows, ports)
}

/** The version is there: its endpoint's row is made in the same step that says so. */
async function register(due: Due, ready: { readonly detail: string; readonly servedName: string }, ports: DeployPorts): Promise<void> {
  const { target, version, deployment } = due
  const id = endpointIdOf(target.id, version.id, await sha256Hex(idTextOf(target.id, version.id)))
  const credential = await ports.deployers.credentialFor(target, id)
  const nowMs = ports.clock.nowMs()
  // A webhook's secret is of those who deploy, and not for their servers.
  if (credential === null && target.credential !== null && target.deployer !== 'webhook') {
    return store(due, stuck(deployment, "the target's credential cannot be opened, so its endpoint would have none", nowMs), noRows, ports)
  }
  const change = stepOf(deployedOf(due), { state: 'ready', detail: ready.detail, servedName: ready.servedName }, nowMs)
  const endpoint = endpointDraft({ id, target, version }, ready.servedName, credential)
  return store(due, { ...change, endpoint: id }, { endpoint, endpointGone: null }, ports)
}

/**
 * Stores a step. Somebody else was sooner: the next pass sees what he wrote. What the store refuses for another reason (the endpoint's id is
 * taken, its row is in use) it would refuse for ever, and is said where a person looks.
 */
async function store(
  due: Due,
  change: Change & { readonly endpoint?: Deployment['endpoint'] },
  rows: Rows,
  ports: DeployPorts,
): Promise<void> {
  const { deployment } = due
  const stored = await ports.deployments.step(deployment, change, rows, stampOf(ports, ports.clock.nowMs(), change.detail))
  if (stored.ok || stored.error.reason === 'generation_mismatch') return
  const nowMs = ports.clock.nowMs()
  const words = stuck(deployment, wordsOf(stored), nowMs)
  await ports.deployments.step(deployment, words, noRows, stampOf(ports, nowMs, words.detail))
}

function wordsOf({ error }: Extract<Result<unknown, AdminRefusal>, { readonly ok: false }>): string {
  const words = Object.values(error).filter((value) => typeof value === 'string')
  return `the step could not be stored (${words.join(', ')})`
}

const deployedOf = ({ deployment, target }: Due) => ({ deployment, deployer: target.deployer })
const idsOf = (rows: Wish['rows']): readonly string[] => rows.map(({ id }) => id)

/** The same actor as of all that core does by itself (core/rollout/record.ts). */
const stampOf = ({ freshId }: DeployPorts, atMs: number, reason: string): Stamp => ({
  atMs,
  actor: 'controller',
  requestId: freshId(),
  reason: reason === '' ? null : reason.slice(0, limits.reasonCharsMax),
})
