// The slow copies in KV, for isolates that start while core is away: the last snapshot, and a record per API key.
// Runs beside the turn and is never awaited by it. What a crash or a failure interrupts is done again: at least once, in order.

import { limits } from '../../shared/limits.ts'
import { within } from '../../shared/time.ts'
import type { Credential } from '../../shared/wire/credential.ts'
import type { KeyId, TenantId } from '../../shared/ids.ts'
import type { Copied, CredentialWrite, LoopState } from '../facts.ts'
import type { LoopPorts } from '../ports.ts'

type CopyPorts = Pick<LoopPorts, 'clock' | 'timer' | 'copies' | 'credentials' | 'memory'>

/** Starts whatever copying is behind, unless some is under way. */
export function startCopies(state: LoopState, ports: CopyPorts): void {
  if (state.copying) return
  const snapshotDue = snapshotIsDue(state, ports.clock.nowMs())
  const credentialsDue = state.catalogue !== null && state.catalogue.seq > state.copied.seq
  if (!snapshotDue && !credentialsDue) return
  state.copying = copy(state, ports, snapshotDue)
    .then(() => {
      state.copyError = null
    })
    .catch((cause: unknown) => {
      state.copyError = cause instanceof Error ? cause.message : String(cause)
    })
    .finally(() => {
      state.copying = null
    })
}

function snapshotIsDue(state: LoopState, nowMs: number): boolean {
  const generation = state.published?.snapshot.generation ?? 0
  return generation > state.copiedGeneration && Math.abs(nowMs - state.copiedAtMs) >= limits.snapshotCopyEveryMs
}

async function copy(state: LoopState, ports: CopyPorts, snapshotDue: boolean): Promise<void> {
  const snapshot = state.published?.snapshot
  if (snapshotDue && snapshot) {
    state.copiedAtMs = ports.clock.nowMs()
    await bounded(ports.copies.putSnapshot(snapshot), ports)
    state.copiedGeneration = snapshot.generation
  }
  for (let step = 0; step < limits.copyStepsPerTurnMax; step++) {
    const upToSeq = state.catalogue?.seq ?? 0
    if (state.copied.seq >= upToSeq) return
    const next = await copyStep(state.copied, upToSeq, ports)
    await ports.memory.keepCopied(next)
    state.copied = next
  }
}

/** Copies the records touched by the next writes, and returns how far that brings the copies. */
async function copyStep(from: Copied, upToSeq: number, ports: CopyPorts): Promise<Copied> {
  const writes = await bounded(ports.credentials.writesAfter(from.seq, limits.credentialsPerStepMax), ports)
  const first = writes[0]
  if (!first) return { seq: upToSeq, afterKey: null }
  if (first.resource === 'tenant') return copyTenant(first, from.afterKey, ports)
  const end = writes.findIndex((write) => write.resource === 'tenant')
  const keys = end < 0 ? writes : writes.slice(0, end)
  for (const id of new Set(keys.map((write) => write.id))) {
    const credential = await bounded(ports.credentials.ofKey(id as KeyId), ports)
    await bounded(credential ? ports.copies.putCredential(credential) : ports.copies.dropCredential(id), ports)
  }
  return { seq: keys.at(-1)?.seq ?? from.seq, afterKey: null }
}

/** A tenant's switch is in each of its keys' records: they are rewritten a page at a time. */
async function copyTenant(write: CredentialWrite, afterKey: string | null, ports: CopyPorts): Promise<Copied> {
  const page = await bounded(ports.credentials.ofTenant(write.id as TenantId, afterKey, limits.credentialsPerStepMax), ports)
  for (const credential of page) await bounded(ports.copies.putCredential(credential), ports)
  const last: Credential | undefined = page.at(-1)
  if (last && page.length === limits.credentialsPerStepMax) return { seq: write.seq - 1, afterKey: last.id }
  return { seq: write.seq, afterKey: null }
}

async function bounded<T>(promise: Promise<T>, ports: CopyPorts): Promise<T> {
  const silent = Symbol('silent')
  const value = await within<T, symbol>(promise, limits.copyWaitMsMax, silent, ports.timer)
  if (value === silent) throw new Error(`copies: no answer in ${limits.copyWaitMsMax} ms`)
  return value as T
}
