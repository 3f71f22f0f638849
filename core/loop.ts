// The control loop's turn, top to bottom: load, order probes, exchange, judge, roll out, publish, tell, note, carry out.
// It never throws and never waits without a bound: what fails is noted in the status and met again next turn.
// A crash at any await and a restart give the same result, because only `published`, `keptLiveness`, `keptHealth`, `looks` and `copied` are
// believed after a restart, each is stored before anybody hears of it, and all else is found again by asking.

import { limits } from '../shared/limits.ts'
import { within } from '../shared/time.ts'
import { diff } from '../shared/wire/delta.ts'
import type { CellId, EndpointId } from '../shared/ids.ts'
import type { ProbeOrder } from '../shared/wire/probe.ts'
import type { Catalogue, Heard, KeptHealth, KeptLiveness, LoopState, Target } from './facts.ts'
import type { LoopPorts, Memory } from './ports.ts'
import { aliasNameOf } from '../shared/wire/trial.ts'
import { carryOut } from './deploy/deploy.ts'
import { foldTraffic, judge, relevantTraffic } from './judge/judge.ts'
import { weightsOf } from './judge/weights.ts'
import { livenessToKeep } from './probe/liveness.ts'
import { foldResults, ordersFor } from './probe/probe.ts'
import { startCopies } from './publish/copies.ts'
import { nextLoads } from './publish/loads.ts'
import { contentOf, nextPublished } from './publish/snapshot.ts'
import { cellTargets, homes, homeTargets, retiredCells } from './publish/targets.ts'
import { forget, tell } from './publish/tell.ts'
import { notify } from './notify/notify.ts'
import { endpointsToWarm } from './rollout-world.ts'
import { rollOut } from './rollouts.ts'
import { foldTrials, forgetTrials, newTrials } from './rollout/trials.ts'

/** The state of a loop that has just woken at this time with what was stored. */
export function awaken(stored: Awaited<ReturnType<Memory['restore']>>, nowMs = 0): LoopState {
  const looks = new Map(stored.keptRollouts.looks)
  return {
    published: stored.published,
    keptLiveness: stored.keptLiveness,
    keptHealth: stored.keptHealth,
    copied: stored.copied,
    generationFloor: stored.generationFloor,
    floorKnown: stored.published !== null,
    catalogue: null,
    reads: { silent: 0, askedAtMs: 0 },
    signed: null,
    delta: null,
    probes: new Map(),
    traffic: new Map(),
    heard: [],
    judged: new Map(stored.keptHealth.judged),
    waiting: stored.keptHealth.waiting,
    appending: null,
    loads: new Map(),
    trials: newTrials(nowMs),
    rollouts: null,
    looks,
    keptLooks: looks,
    gatesAskedAtMs: new Map(),
    rolloutErrors: new Map(),
    deploying: null,
    notifying: null,
    carryErrors: { deploy: null, notify: null },
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
  // Answers that came when the last turn no longer waited for them.
  foldHeard(state, ports)

  // Load: one cheap query, and the whole catalogue only when something was written. Without the database the last one serves on.
  const { news, failure } = await load(state, ports)

  // Probe: what is due is ordered of the ledgers, which stand near their endpoints. Results come with this exchange or a later one.
  const { catalogue } = state
  const orders = catalogue ? orderProbes(catalogue, state, ports) : new Map<CellId, readonly ProbeOrder[]>()

  // Exchange: every ledger's numbers, and the snapshot to those that missed it. News from an operator does not wait for this:
  // the telling below is the same call.
  const exchanged = !news && state.published !== null
  if (exchanged) await tellCells({ state, ports, hurry, orders }, limits.exchangeTimeoutMs)

  if (catalogue) {
    // Judge: the health of each endpoint, stored with what changed.
    judgeAll(catalogue, state, ports)
    await keepLiveness(state, ports)
    await keepHealth(state, ports)

    // Roll out: advance, hold or abort canaries on the evidence of the exchange. What was written is published in this very turn.
    const moved = await rollOutAll(catalogue, state, ports)

    // Publish: stored before anybody is told, so that no generation is ever given out twice with two meanings.
    await learnFloor(state, ports)
    const published = await publish(moved, state, ports)
    measure(state, ports)

    // Tell: those who grant first, a moment later the homes, then the slow copies. Loads go out in the turn in which they were measured:
    // a second older they would send requests where there is no room any more (docs/design/simulations.md).
    if (published || !exchanged) await tellCells({ state, ports, hurry, orders }, limits.cellsHeadStartMs)
    else await tellLoads({ state, ports, hurry, orders: new Map() })
  }
  await tellHomes(state, ports, hurry)
  startCopies(state, ports)
  startAppend(state, ports)
  startCarrying(state, ports)
  if (failure) throw failure
}

/** Refreshes the catalogue. `news`: it changed. `failure`: it could not be read; the turn goes on with the old one and reports it. */
async function load(state: LoopState, ports: LoopPorts): Promise<{ readonly news: boolean; readonly failure: Error | null }> {
  const { reads } = state
  const silent = 'silent'
  const noAnswer = { news: false, failure: new Error(`the catalogue gave no answer in ${limits.catalogueWaitMsMax} ms`) }
  const nowMs = ports.clock.nowMs()
  if (reads.silent >= limits.readsSilentMax && Math.abs(nowMs - reads.askedAtMs) < limits.readAgainMs) return noAnswer
  reads.askedAtMs = nowMs
  const reading = read(state, ports).catch((cause: unknown) => new Error(`the catalogue could not be read: ${messageOf(cause)}`, { cause }))
  const answer = await within<Catalogue | Error | null, typeof silent>(reading, limits.catalogueWaitMsMax, silent, ports.timer)
  reads.silent = answer === silent ? reads.silent + 1 : 0
  if (answer === silent) return noAnswer
  if (answer instanceof Error) return { news: false, failure: answer }
  if (answer) state.catalogue = answer
  return { news: answer !== null, failure: null }
}

async function read(state: LoopState, ports: LoopPorts): Promise<Catalogue | null> {
  const seq = await ports.catalogue.seq()
  return seq === state.catalogue?.seq ? null : ports.catalogue.load(state.published?.auditSeq ?? 0)
}

type Orders = ReadonlyMap<CellId, readonly ProbeOrder[]>

function orderProbes(catalogue: Catalogue, state: LoopState, ports: LoopPorts): Orders {
  const alive = new Map<CellId, { readonly sinceMs: number; readonly answeredAtMs: number }>()
  const lastGoodAtMs = new Map<EndpointId, number | null>()
  for (const [name, record] of state.ledgers) {
    const { aliveSinceMs: sinceMs, answeredAtMs } = record
    if (sinceMs !== null && answeredAtMs !== null) alive.set(name as CellId, { sinceMs, answeredAtMs })
    for (const [id, load] of Object.entries(record.endpoints)) lastGoodAtMs.set(id as EndpointId, load.lastGoodAtMs)
  }
  const nowMs = ports.clock.nowMs()
  const { endpoints } = catalogue
  const { keptLiveness, probes: records } = state
  const toWarm = endpointsToWarm({ catalogue }, state.rollouts?.open.map(({ rollout }) => rollout) ?? [])
  const onTrial = new Set([...state.judged].filter(([, { health }]) => health === 'probing').map(([id]) => id))
  const ordered = ordersFor({ endpoints, records, keptLiveness, alive, lastGoodAtMs, onTrial, toWarm, nowMs }, ports.random)
  state.probes = ordered.records
  return ordered.orders
}

function judgeAll(catalogue: Catalogue, state: LoopState, ports: LoopPorts): void {
  const { probes, traffic, ledgers, judged: before } = state
  const { judged, events } = judge({ endpoints: catalogue.endpoints, probes, traffic, ledgers, before, nowMs: ports.clock.nowMs() })
  state.judged = judged
  state.traffic = relevantTraffic(traffic, judged)
  state.waiting = [...state.waiting, ...events].slice(-limits.eventsWaitingMax)
}

/** The catalogue as it is after rollouts have moved. Where it cannot be read again at once, the next turn publishes what was written. */
async function rollOutAll(catalogue: Catalogue, state: LoopState, ports: LoopPorts): Promise<Catalogue> {
  const aliases = new Set(catalogue.aliases.map(({ environment, model }) => aliasNameOf(environment, model)))
  forgetTrials(state.trials, aliases, ports.clock.nowMs())
  let isMoved = false
  try {
    isMoved = await rollOut(catalogue, state, ports)
  } catch {
    // The database is away: it is asked again next turn. Endpoints and traffic must not wait for it.
    state.rollouts = null
  }
  if (!isMoved) return catalogue
  await load(state, ports)
  return state.catalogue ?? catalogue
}

/** What follows from rollouts, beside the turns: endpoints that come and go, and those who want to hear of it. */
function startCarrying(state: LoopState, ports: LoopPorts): void {
  const nowMs = ports.clock.nowMs()
  const note = (which: 'deploy' | 'notify') => (error: unknown) =>
    void (state.carryErrors = { ...state.carryErrors, [which]: error === null ? null : messageOf(error) })
  state.deploying ??= carryOut(ports, nowMs)
    .then(() => note('deploy')(null), note('deploy'))
    .finally(() => void (state.deploying = null))
  state.notifying ??= notify(ports, nowMs)
    .then(() => note('notify')(null), note('notify'))
    .finally(() => void (state.notifying = null))
}

/** The next generation, if there is anything new: stored, signed, and then what is published. */
async function publish(catalogue: Catalogue, state: LoopState, ports: LoopPorts): Promise<boolean> {
  const draft = {
    content: contentOf(catalogue, state.judged),
    written: catalogue.written,
    auditSeq: catalogue.seq,
    generationFloor: state.generationFloor,
    retired: state.published ? retiredCells(state.published, state.ledgers) : [],
  }
  const next = nextPublished(state.published, draft, ports.clock.nowMs())
  if (!next) return false
  await ports.memory.keepPublished(next)
  state.delta = state.published && diff(state.published.snapshot, next.snapshot)
  state.published = next
  state.catalogue = { ...catalogue, written: [] }
  forget([...cellTargets(next, state.ledgers), ...homes], state)
  return true
}

/** What the exchange has shown of load, as it is told in this turn. */
function measure(state: LoopState, ports: LoopPorts): void {
  const snapshot = state.published?.snapshot
  if (!snapshot) return
  const nowMs = ports.clock.nowMs()
  const weights = weightsOf(snapshot.endpoints, state.ledgers, nowMs)
  state.loads = nextLoads(state.loads, { snapshot, ledgers: state.ledgers, weights, nowMs })
}

/** Stores liveness when an endpoint's state changed, and only then. */
async function keepLiveness(state: LoopState, ports: LoopPorts): Promise<void> {
  const liveness: KeptLiveness = livenessToKeep(state.probes)
  if (JSON.stringify(liveness) === JSON.stringify(state.keptLiveness)) return
  await ports.memory.keepLiveness(liveness)
  state.keptLiveness = liveness
}

/** Stores health when a word of the judge changed, and with it the events of the change, so that a crash loses none. */
async function keepHealth(state: LoopState, ports: LoopPorts): Promise<void> {
  const health: KeptHealth = { judged: [...state.judged], waiting: state.waiting }
  if (JSON.stringify(health) === JSON.stringify(state.keptHealth)) return
  await ports.memory.keepHealth(health)
  state.keptHealth = health
}

/** Appends what waits, beside the turn: a database that is away holds nothing up, and is tried again next turn. */
function startAppend(state: LoopState, ports: LoopPorts): void {
  const { waiting } = state
  if (state.appending || waiting.length === 0) return
  const appended = ports.events.append(waiting).then(
    () => true,
    () => false,
  )
  state.appending = within(appended, limits.copyWaitMsMax, false, ports.timer).then((isDone) => {
    state.appending = null
    if (isDone) state.waiting = state.waiting.filter((event) => !waiting.includes(event))
  })
}

/** With nothing stored (a new object, or a lost one) the homes and the slow copy may know of generations already given out. */
async function learnFloor(state: LoopState, ports: LoopPorts): Promise<void> {
  if (state.floorKnown) return
  // Once in an object's life, so it is not hurried.
  const hurry = new AbortController().signal
  const copied = ports.copies.snapshotGeneration().catch(() => 0)
  await tellAll(homes, { state, ports, hurry, orders: new Map() }, limits.exchangeTimeoutMs)
  const generation = await within(copied, limits.exchangeTimeoutMs, 0, ports.timer)
  state.generationFloor = Math.max(state.generationFloor, generation)
  state.floorKnown = true
}

type Round = { readonly state: LoopState; readonly ports: LoopPorts; readonly hurry: AbortSignal; readonly orders: Orders }

async function tellCells(round: Round, withinMs: number): Promise<void> {
  const { published, ledgers } = round.state
  if (published) await tellAll(cellTargets(published, ledgers), round, withinMs)
}

/** The loads alone, to cells that do not have the newest of their model. */
async function tellLoads(round: Round): Promise<void> {
  const { published, ledgers, loads } = round.state
  if (!published) return
  const isBehind = ({ name, model }: Target): boolean =>
    model !== null && (loads.get(model)?.seq ?? 0) > (ledgers.get(name)?.loadsSeq ?? 0) && ledgers.get(name)?.error === null
  await tellAll(cellTargets(published, ledgers).filter(isBehind), round, limits.cellsHeadStartMs)
}

async function tellHomes(state: LoopState, ports: LoopPorts, hurry: AbortSignal): Promise<void> {
  if (!state.published) return
  const targets = homeTargets(state.published, state.ledgers, ports.clock.nowMs())
  await tellAll(targets, { state, ports, hurry, orders: new Map() }, limits.exchangeTimeoutMs)
}

async function tellAll(targets: readonly Target[], { state, ports, hurry, orders }: Round, withinMs: number): Promise<void> {
  await sign(state, ports)
  const hear = (heard: Heard): void => void state.heard.push(heard)
  await tell({ targets, withinMs, hurry, orders: stillOpen(orders, state), hear }, state, ports)
  foldHeard(state, ports)
}

/** All answers at once: each alone would copy what is known of every endpoint. */
function foldHeard(state: LoopState, ports: LoopPorts): void {
  const heard = state.heard.splice(0)
  const nowMs = ports.clock.nowMs()
  const blocks = heard.flatMap((each) => each.blocks)
  foldAllTrials(heard, state, nowMs)
  const probes = heard.flatMap((each) => each.probes)
  state.traffic = foldTraffic(state.traffic, blocks, nowMs)
  state.probes = foldResults(state.probes, probes, nowMs)
}

function foldAllTrials(heard: readonly Heard[], { trials, catalogue, published }: LoopState, nowMs: number): void {
  const told = heard.flatMap(({ cell, blocks }) =>
    cell === null ? [] : [{ cell, tallies: blocks.flatMap((block) => block.trials ?? []) }],
  )
  if (told.every(({ tallies }) => tallies.length === 0)) return
  const regions = new Map(published?.snapshot.endpoints.map(({ cell, region }) => [cell, region]))
  // Of an alias that is not there nobody is judged; names come from outside, and would fill the memory.
  const known = new Set(catalogue?.aliases.map(({ environment, model }) => aliasNameOf(environment, model)))
  for (const { cell, tallies } of told) {
    const region = regions.get(cell)
    const own = tallies.filter(({ alias }) => known.has(alias))
    if (region !== undefined && own.length > 0) foldTrials(trials, region, own, nowMs)
  }
}

/** Orders without those that were answered earlier in this turn: told again they would be carried out again. */
const stillOpen = (orders: Orders, { probes }: LoopState): Orders =>
  new Map(
    [...orders].map(([cell, told]) => [cell, told.filter(({ id, endpoint, kind }) => probes.get(endpoint)?.open[kind]?.order.id === id)]),
  )

/** Signs the published snapshot, once. */
async function sign(state: LoopState, ports: LoopPorts): Promise<void> {
  const snapshot = state.published?.snapshot
  if (!snapshot || state.signed?.generation === snapshot.generation) return
  const signer = await ports.signer()
  state.signed = { generation: snapshot.generation, signature: signer ? await signer.sign(JSON.stringify(snapshot)) : null }
}
