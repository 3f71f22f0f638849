// A control loop and all that is outside it, in memory: ledgers that answer as real ones would, through structuredClone, for that is what
// crossing between objects costs at least. The clock moves a turn at a time; nothing waits. What the outside does itself is counted
// apart (`elsewhereMs`), because it happens elsewhere.

import { serialize } from 'node:v8'
import { awaken, turn } from '../../core/loop.ts'
import type { Catalogue, CatalogueEndpoint, EndpointEvent, LoopState, Target } from '../../core/facts.ts'
import type { LoopPorts } from '../../core/ports.ts'
import { cellIdOf, type EndpointId } from '../../shared/ids.ts'
import { origins } from '../../shared/geo.ts'
import { limits } from '../../shared/limits.ts'
import { fakeStores } from './rollout-stores.ts'
import { seededRandom, type Random } from '../../shared/random.ts'
import { signerOf } from '../../shared/signature.ts'
import type { Block, EndpointBlock, EndpointLoad, Exchange, ExchangeAnswer } from '../../shared/wire/ledger.ts'
import type { EngineRecord, ProbeOrder, ProbeResult } from '../../shared/wire/probe.ts'
import type { Snapshot } from '../../shared/wire/snapshot.ts'

/** An endpoint's breaker stays open this many turns. */
const openTurns = 10

export type Turned = {
  /** Of the loop alone, with both ways over the boundary. */
  readonly tookMs: number
  readonly events: number
  /** Bytes that went to ledgers and came back; 0 when they were not counted, for that takes time. */
  readonly bytesDown: number
  readonly bytesUp: number
}

type Ledger = { readonly endpoints: readonly CatalogueEndpoint[]; generation: number; seq: number }

export class ControlWorld {
  readonly state: LoopState
  readonly #catalogue: Catalogue
  readonly #ledgers = new Map<string, Ledger>()
  /** Breakers that are open, and since which turn. */
  readonly #open = new Map<EndpointId, number>()
  readonly #random: Random
  readonly #ports: LoopPorts
  /** Part of the endpoints whose breaker opens in a turn; as many close. */
  readonly #openShare: number
  #nowMs = 1_800_000_000_000
  #turns = 0
  #toOpen = 0
  #next = 0
  #elsewhereMs = 0
  #counts = false
  #told = { events: 0, bytesDown: 0, bytesUp: 0 }

  /** `changeShare`: part of the endpoints whose state changes in a turn. */
  constructor(catalogue: Catalogue, changeShare: number, seed = 1) {
    this.#catalogue = catalogue
    this.#openShare = changeShare / 2
    this.#random = seededRandom(seed)
    this.#ports = this.#newPorts()
    this.state = awaken({
      published: null,
      keptLiveness: {},
      keptHealth: { judged: [], waiting: [] },
      keptRollouts: { looks: [] },
      copied: { seq: 0, afterKey: null },
      generationFloor: 0,
    })
  }

  get snapshot(): Snapshot {
    if (!this.state.published) throw new Error('control world: nothing was published')
    return this.state.published.snapshot
  }

  /** One turn, a second after the one before, with whatever it leaves running. */
  async turn(so: { readonly countBytes: boolean } = { countBytes: false }): Promise<Turned> {
    this.#changeStates()
    this.#elsewhereMs = 0
    this.#told = { events: 0, bytesDown: 0, bytesUp: 0 }
    this.#counts = so.countBytes
    const beganMs = performance.now()
    await turn(this.state, this.#ports, new AbortController().signal)
    await this.state.appending
    await this.state.copying
    const tookMs = performance.now() - beganMs - this.#elsewhereMs
    if (this.state.lastTurn?.error) throw new Error(`control world: the turn failed: ${this.state.lastTurn.error}`)
    this.#nowMs += limits.turnMs
    this.#turns += 1
    return { tookMs, ...this.#told }
  }

  #changeStates(): void {
    for (const [id, since] of this.#open) if (this.#turns - since >= openTurns) this.#open.delete(id)
    this.#toOpen += this.#catalogue.endpoints.length * this.#openShare
    for (; this.#toOpen >= 1; this.#toOpen--) {
      const endpoint = this.#catalogue.endpoints[this.#next++ % this.#catalogue.endpoints.length]
      if (endpoint) this.#open.set(endpoint.id, this.#turns)
    }
  }

  #newPorts(): LoopPorts {
    const nothing = () => Promise.resolve()
    return {
      clock: { nowMs: () => this.#nowMs },
      // Everything outside answers, so no wait ever ends by itself.
      timer: { sleep: (_, signal) => new Promise((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true })) },
      random: this.#random,
      credentials: {
        ofKey: () => Promise.resolve(null),
        ofTenant: () => Promise.resolve([]),
        writesAfter: () => Promise.resolve([]),
      },
      ledgers: { exchange: (target, exchange) => this.#exchange(target, exchange) },
      copies: {
        // As the adapter does: the whole snapshot as text.
        putSnapshot: (snapshot) => Promise.resolve(void JSON.stringify(snapshot)),
        snapshotGeneration: () => Promise.resolve(0),
        putCredential: nothing,
        dropCredential: nothing,
      },
      events: { append: (events) => this.#append(events) },
      ...fakeStores(),
      // After what the stores bring: the catalogue is this world's own.
      catalogue: { seq: () => Promise.resolve(this.#catalogue.seq), load: () => Promise.resolve(structuredClone(this.#catalogue)) },
      deployers: {
        bring: (_, { id }) => Promise.resolve({ state: 'ready', detail: '', servedName: id }),
        remove: () => Promise.resolve({ state: 'gone', detail: '' }),
        credentialFor: () => Promise.resolve(null),
      },
      poster: { post: () => Promise.resolve({ status: 204, error: null, retryAfterMs: null }) },
      openSecret: () => Promise.resolve(null),
      freshId: () => 'fresh',
      signer: () => signerOf('a secret of the bench, long enough'),
      memory: {
        restore: () => new Promise(() => undefined),
        keepPublished: (published) => Promise.resolve(void structuredClone(published)),
        keepLiveness: (liveness) => Promise.resolve(void structuredClone(liveness)),
        keepHealth: (health) => Promise.resolve(void structuredClone(health)),
        keepRollouts: (rollouts) => Promise.resolve(void structuredClone(rollouts)),
        keepCopied: nothing,
      },
    }
  }

  #append(events: readonly EndpointEvent[]): Promise<void> {
    this.#told.events += events.length
    return Promise.resolve(void JSON.stringify(events))
  }

  #exchange(target: Target, exchange: Exchange): Promise<ExchangeAnswer> {
    const told = structuredClone(exchange)
    const beganMs = performance.now()
    const answer = this.#answer(target, told)
    if (this.#counts) {
      this.#told.bytesDown += serialize(exchange).byteLength
      this.#told.bytesUp += serialize(answer).byteLength
    }
    this.#elsewhereMs += performance.now() - beganMs
    return Promise.resolve(structuredClone(answer))
  }

  #answer(target: Target, exchange: Exchange): ExchangeAnswer {
    const ledger = this.#ledgerOf(target)
    const { delta, snapshot } = exchange
    const reached = snapshot?.generation ?? (delta?.from === ledger.generation ? delta.head.generation : 0)
    ledger.generation = Math.max(ledger.generation, reached)
    const { endpoints } = ledger
    const slots = endpoints.reduce((sum, endpoint) => sum + endpoint.slots, 0)
    const load = { slots, free: slots / 3, waitMs: 4 * this.#random(), blindWaitMs: 40 * this.#random(), ttftMs: 180 + 20 * this.#random() }
    return {
      generation: ledger.generation,
      life: 'life',
      endpoints: Object.fromEntries(endpoints.map((endpoint) => [endpoint.id, this.#loadOf(endpoint)])),
      blocks: target.cell === null ? [] : [this.#blockOf(ledger)],
      queued: 0,
      load: target.cell && { cell: target.cell, ...load },
      probes: (exchange.probes ?? []).map((order) => this.#resultOf(order)),
    }
  }

  #ledgerOf({ name, cell }: Target): Ledger {
    const known = this.#ledgers.get(name)
    if (known) return known
    const endpoints = this.#catalogue.endpoints.filter(({ model, region }) => cellIdOf(model, region) === cell)
    const fresh = { endpoints, generation: 0, seq: 0 }
    this.#ledgers.set(name, fresh)
    return fresh
  }

  #loadOf({ id, slots }: CatalogueEndpoint): EndpointLoad {
    const isOpen = this.#open.has(id)
    return {
      inFlight: isOpen ? 0 : Math.floor(slots * 0.6 * this.#random()),
      cap: slots,
      breaker: isOpen ? 'open' : 'closed',
      serviceMs: 900 + 200 * this.#random(),
      ttftMs: 150 + 50 * this.#random(),
      lastGoodAtMs: this.#nowMs - 1_000,
      reason: isOpen ? '5 failures in a row, the bound is 5' : null,
    }
  }

  #blockOf(ledger: Ledger): Block {
    ledger.seq += 1
    const counts = ({ slots }: CatalogueEndpoint): EndpointBlock => {
      const good = Math.ceil(slots * 0.5 * this.#random())
      return { good, soft_failure: 0, hard_failure: 0, cancelled: 0, timed: good, tookMsSum: good * 1_000, ttfbMsSum: good * 180 }
    }
    return {
      seq: ledger.seq,
      fromMs: this.#nowMs - limits.turnMs,
      untilMs: this.#nowMs,
      endpoints: Object.fromEntries(ledger.endpoints.map((endpoint) => [endpoint.id, counts(endpoint)])),
      arrivals: Object.fromEntries(origins.map(({ name }) => [name, Math.ceil(20 * this.#random())])),
      roundTrips: Object.fromEntries(origins.map(({ name }, n) => [name, { count: 10, msSum: 10 * (15 + 20 * n + 5 * this.#random()) }])),
      ways: { leased: 60, blind: 30, credit: 10 },
    }
  }

  #resultOf({ id, endpoint, kind }: ProbeOrder): ProbeResult {
    const result = { id, endpoint, kind, atMs: this.#nowMs, tookMs: 12, ok: true, detail: 'HTTP 200' }
    return kind === 'metrics' ? { ...result, engine: engineRecord(this.#random) } : result
  }
}

const engineRecord = (random: Random): EngineRecord => ({
  source: 'vllm',
  running: Math.floor(30 * random()),
  waiting: 0,
  slots: null,
  kvUsed: random(),
  ttftP50Ms: 120 + 40 * random(),
  ttftP95Ms: 300 + 90 * random(),
  tpotP50Ms: 15 + 5 * random(),
  serviceMeanMs: 900 + 200 * random(),
  prefixHitRate: random(),
  preemptionsPerS: 0,
  okPerS: 20 + 10 * random(),
  failedPerS: 0,
  loras: [],
  sleeping: false,
  version: '0.11.2',
})
