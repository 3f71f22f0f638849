// The control loop's turn, top to bottom: load, probe, exchange, judge, roll out, publish, tell.
// It never throws and never waits without a bound: what fails is noted in the status and met again next turn.
// A crash at any await and a restart give the same result, because only `published`, `keptLiveness` and `copied` are believed
// after a restart, each is stored before anybody hears of it, and all else is found again by asking.

import { limits } from '../shared/limits.ts'
import { within } from '../shared/time.ts'
import type { Catalogue, KeptLiveness, LoopState, Status } from './facts.ts'
import type { LoopPorts, Memory } from './ports.ts'
import { judge } from './judge/judge.ts'
import { livenessToKeep } from './probe/liveness.ts'
import { probe } from './probe/probe.ts'
import { startCopies } from './publish/copies.ts'
import { contentOf, nextPublished } from './publish/snapshot.ts'
import { cellTargets, homes, homeTargets, retiredCells } from './publish/targets.ts'
import { forget, tell } from './publish/tell.ts'

/** The state of a loop that has just woken with what was stored. */
export function awaken(stored: Awaited<ReturnType<Memory['restore']>>): LoopState {
  return {
    published: stored.published,
    keptLiveness: stored.keptLiveness,
    copied: stored.copied,
    generationFloor: stored.generationFloor,
    floorKnown: stored.published !== null,
    catalogue: null,
    probes: new Map(),
    ledgers: new Map(),
    copiedGeneration: 0,
    copiedAtMs: 0,
    copying: null,
    copyError: null,
    lastTurn: null,
  }
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

/** One turn. `hurry` aborts when another is wanted at once: then this one stops waiting for ledgers, whose answers fold in later. */
export async function turn(state: LoopState, ports: LoopPorts, hurry: AbortSignal): Promise<void> {
  const atMs = ports.clock.nowMs()
  let error: string | null = null
  try {
    await takeTurn(state, ports, hurry)
  } catch (cause) {
    error = messageOf(cause)
  }
  state.lastTurn = { atMs, tookMs: ports.clock.nowMs() - atMs, error }
}

async function takeTurn(state: LoopState, ports: LoopPorts, hurry: AbortSignal): Promise<void> {
  // Load: one cheap query, and the whole catalogue only when something was written. Without the database the last one serves on.
  const { news, failure } = await load(state, ports)

  // Probe: started here, never awaited; what they find is judged from the next turn on.
  const { catalogue } = state
  if (catalogue) probe(catalogue.endpoints, state, ports)

  // Exchange: every ledger's numbers, and the snapshot to those that missed it. News from an operator does not wait for this:
  // the telling below is the same call.
  const exchanged = !news && state.published !== null
  if (exchanged) await tellCells(state, ports, hurry, limits.exchangeTimeoutMs)

  if (catalogue) {
    // Judge: the state in which each endpoint is published.
    const states = judge(catalogue.endpoints, state.probes)
    await keepLiveness(state, ports)

    // Roll out: advance, hold or abort canaries on the evidence of the exchange. Aliases move by operators alone for now.

    // Publish: stored before anybody is told, so that no generation is ever given out twice with two meanings.
    await learnFloor(state, ports)
    const draft = {
      content: contentOf(catalogue, states),
      written: catalogue.written,
      auditSeq: catalogue.seq,
      generationFloor: state.generationFloor,
      retired: state.published ? retiredCells(state.published, state.ledgers) : [],
    }
    const next = nextPublished(state.published, draft, ports.clock.nowMs())
    if (next) {
      await ports.memory.keepPublished(next)
      state.published = next
      state.catalogue = { ...catalogue, written: [] }
      forget([...cellTargets(next, state.ledgers), ...homes], state)
    }

    // Tell: those who grant first, a moment later the homes, then the slow copies.
    if (next || !exchanged) await tellCells(state, ports, hurry, limits.cellsHeadStartMs)
  }
  await tellHomes(state, ports, hurry)
  startCopies(state, ports)
  if (failure) throw failure
}

/** Refreshes the catalogue. `news`: it changed. `failure`: it could not be read; the turn goes on with the old one and reports it. */
async function load(state: LoopState, ports: LoopPorts): Promise<{ readonly news: boolean; readonly failure: Error | null }> {
  const silent = 'silent'
  const reading = read(state, ports).catch((cause: unknown) => new Error(`the catalogue could not be read: ${messageOf(cause)}`, { cause }))
  const answer = await within<Catalogue | Error | null, typeof silent>(reading, limits.catalogueWaitMsMax, silent, ports.timer)
  if (answer === silent) return { news: false, failure: new Error(`the catalogue gave no answer in ${limits.catalogueWaitMsMax} ms`) }
  if (answer instanceof Error) return { news: false, failure: answer }
  if (answer) state.catalogue = answer
  return { news: answer !== null, failure: null }
}

async function read(state: LoopState, ports: LoopPorts): Promise<Catalogue | null> {
  const seq = await ports.catalogue.seq()
  return seq === state.catalogue?.seq ? null : ports.catalogue.load(state.published?.auditSeq ?? 0)
}

/** Stores liveness when an endpoint's state changed, and only then. */
async function keepLiveness(state: LoopState, ports: LoopPorts): Promise<void> {
  const liveness: KeptLiveness = livenessToKeep(state.probes)
  if (JSON.stringify(liveness) === JSON.stringify(state.keptLiveness)) return
  await ports.memory.keepLiveness(liveness)
  state.keptLiveness = liveness
}

/** With nothing stored (a new object, or a lost one) the homes and the slow copy may know of generations already given out. */
async function learnFloor(state: LoopState, ports: LoopPorts): Promise<void> {
  if (state.floorKnown) return
  // Once in an object's life, so it is not hurried.
  const hurry = new AbortController().signal
  const copied = ports.copies.snapshotGeneration().catch(() => 0)
  await tell(homes, state, ports, { withinMs: limits.exchangeTimeoutMs, hurry })
  const generation = await within(copied, limits.exchangeTimeoutMs, 0, ports.timer)
  state.generationFloor = Math.max(state.generationFloor, generation)
  state.floorKnown = true
}

async function tellCells(state: LoopState, ports: LoopPorts, hurry: AbortSignal, withinMs: number): Promise<void> {
  if (!state.published) return
  await tell(cellTargets(state.published, state.ledgers), state, ports, { withinMs, hurry })
}

async function tellHomes(state: LoopState, ports: LoopPorts, hurry: AbortSignal): Promise<void> {
  if (!state.published) return
  const nowMs = ports.clock.nowMs()
  await tell(homeTargets(state.published, state.ledgers, nowMs), state, ports, { withinMs: limits.exchangeTimeoutMs, hurry })
}

/** What the admin API shows. */
export function statusOf(state: LoopState): Status {
  const snapshot = state.published?.snapshot
  return {
    generation: snapshot?.generation ?? 0,
    publishedAtMs: snapshot?.publishedAtMs ?? null,
    catalogueSeq: state.catalogue?.seq ?? null,
    endpoints: (snapshot?.endpoints ?? []).map(({ id, cell, state: published }) => ({
      id,
      cell,
      state: published,
      lastProbe: state.probes.get(id)?.last ?? null,
    })),
    ledgers: [...state.ledgers].map(([name, { generation, inFlight, outcomes, answeredAtMs, error }]) => ({
      name,
      generation,
      inFlight,
      outcomes,
      answeredAtMs,
      error,
    })),
    copies: { generation: state.copiedGeneration, credentialsSeq: state.copied.seq, error: state.copyError },
    lastTurn: state.lastTurn,
  }
}
