// A world for the control loop, in memory and under a clock that moves only when told: database, ledgers, model servers, KV, storage.
// Each incarnation of the loop gets ports of its own; after `kill` none of its calls does anything or returns, as after a crash.

import type {
  Catalogue,
  CatalogueEndpoint,
  Copied,
  EndpointEvent,
  KeptHealth,
  KeptLiveness,
  KeptRollouts,
  LoopState,
  Published,
} from '../../../core/facts.ts'
import { awaken, turn } from '../../../core/loop.ts'
import type { LoopPorts } from '../../../core/ports.ts'
import type { CellId, EndpointId, KeyId, ModelName, RegionName, TenantId, VersionId } from '../../../shared/ids.ts'
import { seededRandom } from '../../../shared/random.ts'
import type { Timer } from '../../../shared/time.ts'
import { credentialFormat, type Credential } from '../../../shared/wire/credential.ts'
import type { Block, EndpointBlock, EndpointLoad, Exchange, ExchangeAnswer } from '../../../shared/wire/ledger.ts'
import type { ModelLoads } from '../../../shared/wire/loads.ts'
import type { EngineRecord, ProbeOrder, ProbeResult } from '../../../shared/wire/probe.ts'
import { apply } from '../../../shared/wire/delta.ts'
import type { Region, Snapshot } from '../../../shared/wire/snapshot.ts'
import { fakeStores } from '../../support/rollout-stores.ts'

export const never = <T>(): Promise<T> => new Promise<T>(() => undefined)

/** Lets everything happen that needs no time to pass. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 5; round++) await new Promise<void>((resolve) => setImmediate(resolve))
}

/** A clock and a timer that move together, by hand. */
export class HandClock implements Timer {
  #nowMs = 1_700_000_000_000
  #sleepers: { readonly atMs: number; readonly wake: () => void }[] = []
  nowMs = (): number => this.#nowMs

  stepBack(byMs: number): void {
    this.#nowMs -= byMs
    this.#sleepers = this.#sleepers.map(({ atMs, wake }) => ({ atMs: atMs - byMs, wake }))
  }

  sleep = (forMs: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (signal?.aborted) {
        resolve()
        return
      }
      this.#sleepers.push({ atMs: this.#nowMs + forMs, wake: resolve })
      signal?.addEventListener('abort', () => resolve())
    })

  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs
    await settle()
    for (;;) {
      const due = this.#sleepers.filter((sleeper) => sleeper.atMs <= untilMs).toSorted((a, b) => a.atMs - b.atMs)[0]
      if (!due) break
      this.#sleepers = this.#sleepers.filter((sleeper) => sleeper !== due)
      this.#nowMs = Math.max(this.#nowMs, due.atMs)
      due.wake()
      await settle()
    }
    this.#nowMs = untilMs
    await settle()
  }
}

/** wedged: its health path answers and it generates nothing. */
export type Mood = 'live' | 'dead' | 'hang' | 'wedged'
type LedgerMood = 'live' | 'hang' | 'fail'

export const regionAt = (name: string, latitude: number, longitude: number): Region => ({
  name: name as RegionName,
  latitude,
  longitude,
  jurisdiction: null,
  locationHint: null,
})

export const endpointRow = (id: string, more: Partial<CatalogueEndpoint> = {}): CatalogueEndpoint => ({
  id: id as EndpointId,
  region: 'fra' as RegionName,
  model: 'atlas' as ModelName,
  version: 'atlas-2' as VersionId,
  kind: 'openai',
  url: `http://${id}`,
  servedName: 'atlas',
  slots: 4,
  weight: 1,
  state: 'enabled',
  operations: null,
  options: {},
  maintenance: null,
  credential: null,
  ...more,
})

export const credential = (id: string, tenant = 'acme', disabled = false): Credential => ({
  format: credentialFormat,
  id: id as KeyId,
  tenant: tenant as TenantId,
  environment: 'production',
  secretSha256: 'ab'.repeat(32),
  models: null,
  expiresAtMs: null,
  disabled,
  scopes: [],
  residency: null,
})

type Through = <T>(effect: () => T | Promise<T>) => Promise<T>

/** The same store, each call of which goes the way of all calls outside: it may hang, fail, or be the last. */
function through<Store extends object>(way: Through, store: Store): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const method: unknown = Reflect.get(target, name)
      if (typeof method !== 'function') return method
      return (...args: readonly unknown[]) => way(async () => structuredClone(await Reflect.apply(method, target, structuredClone(args))))
    },
  })
}

export class World {
  readonly clock = new HandClock()
  /** Everything that was done to the outside, in order. */
  readonly log: string[] = []

  // The database.
  regions: Region[] = [regionAt('fra', 50.1, 8.7)]
  endpoints: CatalogueEndpoint[] = [endpointRow('e1')]
  aliases: Catalogue['aliases'] = []
  models: Catalogue['models'] = []
  audit: { readonly seq: number; readonly resource: 'key' | 'tenant' | 'other'; readonly id: string }[] = []
  keys = new Map<string, Credential>()
  database: 'live' | 'hang' | 'fail' = 'live'

  // Everybody else.
  moods = new Map<string, Mood>()
  ledgerMoods = new Map<string, LedgerMood>()
  /** How long a ledger's answer is on its way back. */
  ledgerDelayMs = new Map<string, number>()
  ledgers = new Map<string, TestLedger>()
  /** Pages of metrics by server; one that is not here has none. */
  pages = new Map<string, EngineRecord>()
  /** What ledgers say of endpoints, by id. */
  loads = new Map<string, EndpointLoad>()
  events: EndpointEvent[] = []
  kv = new Map<string, unknown>()
  kvMood: 'live' | 'hang' | 'fail' = 'live'
  stored: { published: Published | null; liveness: KeptLiveness; health: KeptHealth; rollouts: KeptRollouts; copied: Copied } = {
    published: null,
    liveness: {},
    health: { judged: [], waiting: [] },
    rollouts: { looks: [] },
    copied: { seq: 0, afterKey: null },
  }
  /** Rollouts, and what belongs to them. */
  readonly stores = fakeStores()
  /** What deployers say of a version at a target; one that is not here is there at once. */
  deployer: LoopPorts['deployers'] = {
    bring: (_, { id }) => Promise.resolve({ state: 'ready', detail: 'loaded', servedName: id }),
    remove: () => Promise.resolve({ state: 'gone', detail: 'unloaded' }),
    credentialFor: () => Promise.resolve(null),
  }
  /** Posts to webhooks, in order. */
  posted: { readonly url: string; readonly headers: Readonly<Record<string, string>>; readonly body: string }[] = []

  #ids = 0

  /** Notes a write, as the admin API does. */
  wrote(resource: 'key' | 'tenant' | 'other' = 'other', id = 'x'): void {
    this.audit.push({ seq: this.audit.length + 1, resource, id })
  }

  /** A loop that has just woken with what is stored. `dieAt`: its n-th call outside is its last; 'before' or 'after' it took effect. */
  wake(dieAt: number | null = null, when: 'before' | 'after' = 'after', withLedgers = true): Loop {
    const life = { calls: 0, dead: false }
    const call = async <T>(effect: () => T | Promise<T>): Promise<T> => {
      if (life.dead) return never()
      life.calls += 1
      if (life.calls === dieAt) {
        life.dead = true
        if (when === 'after') void Promise.resolve(effect()).catch(() => undefined)
        return never()
      }
      // Everything outside answers later than the asker's own code goes on.
      await Promise.resolve()
      const value = await effect()
      return life.dead ? never() : value
    }
    const ports = this.#ports(call, withLedgers)
    const state = awaken(
      {
        published: structuredClone(this.stored.published),
        keptLiveness: structuredClone(this.stored.liveness),
        keptHealth: structuredClone(this.stored.health),
        keptRollouts: structuredClone(this.stored.rollouts),
        copied: structuredClone(this.stored.copied),
        generationFloor: this.stored.published?.snapshot.generation ?? 0,
      },
      this.clock.nowMs(),
    )
    return new Loop(state, ports, life)
  }

  ledger(name: string): TestLedger {
    const known = this.ledgers.get(name) ?? new TestLedger(this)
    this.ledgers.set(name, known)
    return known
  }

  #ports(call: <T>(effect: () => T | Promise<T>) => Promise<T>, withLedgers: boolean): LoopPorts {
    const kvDo = (what: string, effect: () => void) =>
      call(async () => {
        if (this.kvMood === 'hang') await never()
        if (this.kvMood === 'fail') throw new Error('kv: out of order')
        this.log.push(what)
        effect()
      })
    const query = <T>(effect: () => T | Promise<T>) =>
      call<T>(() => {
        if (this.database === 'hang') return never<T>()
        if (this.database === 'fail') throw new Error('d1: out of order')
        return effect()
      })
    const writes = (after: number) => this.audit.filter((row) => row.seq > after && row.resource !== 'other')
    return {
      clock: this.clock,
      timer: this.clock,
      random: seededRandom(1),
      catalogue: {
        seq: () => query(() => this.audit.length),
        load: (after) =>
          query(() =>
            structuredClone({
              seq: this.audit.length,
              regions: this.regions,
              endpoints: this.endpoints,
              aliases: this.aliases,
              models: this.models,
              written: [...new Set(writes(after).map((row) => row.id))],
            }),
          ),
      },
      credentials: {
        ofKey: (id) => query(() => this.keys.get(id) ?? null),
        ofTenant: (tenant, after, limit) =>
          query(() =>
            [...this.keys.values()]
              .filter((key) => key.tenant === tenant && (after === null || key.id > after))
              .toSorted((a, b) => (a.id < b.id ? -1 : 1))
              .slice(0, limit),
          ),
        writesAfter: (seq, limit) =>
          query(() =>
            writes(seq)
              .slice(0, limit)
              .map(({ seq: at, resource, id }) => ({ seq: at, resource: resource as 'key' | 'tenant', id })),
          ),
      },
      ledgers: withLedgers
        ? {
            exchange: (target, exchange) =>
              call(async () => {
                const mood = this.ledgerMoods.get(target.name) ?? 'live'
                this.log.push(`exchange ${target.name} ${exchange.snapshot?.generation ?? exchange.delta?.head.generation ?? '-'}`)
                if (mood === 'hang') return never()
                if (mood === 'fail') throw new Error('ledger: out of order')
                const answer = this.ledger(target.name).exchange(structuredClone(exchange))
                const delayMs = this.ledgerDelayMs.get(target.name)
                if (delayMs) await this.clock.sleep(delayMs)
                return structuredClone(answer)
              }),
          }
        : null,
      events: {
        append: (events) =>
          query(() => {
            this.log.push(`append ${events.length}`)
            const isKnown = (event: EndpointEvent): boolean =>
              this.events.some(({ endpoint, atMs, to }) => endpoint === event.endpoint && atMs === event.atMs && to === event.to)
            this.events.push(...structuredClone(events.filter((event) => !isKnown(event))))
          }),
      },
      rollouts: through(query, this.stores.rollouts),
      verdicts: through(query, this.stores.verdicts),
      reports: through(query, this.stores.reports),
      loadRuns: through(query, this.stores.loadRuns),
      outbox: through(query, this.stores.outbox),
      deployments: through(query, this.stores.deployments),
      deliveries: through(query, this.stores.deliveries),
      rows: through(query, this.stores.rows),
      deployers: through(call, this.deployer),
      poster: {
        post: (request) =>
          call(() => {
            this.posted.push(request)
            return { status: 204, error: null, retryAfterMs: null }
          }),
      },
      openSecret: () => Promise.resolve('whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cw=='),
      freshId: () => `id${++this.#ids}`,
      signer: () => Promise.resolve(null),
      copies: {
        putSnapshot: (snapshot) => kvDo(`kv snapshot ${snapshot.generation}`, () => this.kv.set('snapshot', structuredClone(snapshot))),
        snapshotGeneration: () => call(() => (this.kv.get('snapshot') as Snapshot | undefined)?.generation ?? 0),
        putCredential: (record) => kvDo(`kv put ${record.id}`, () => this.kv.set(record.id, record)),
        dropCredential: (id) => kvDo(`kv drop ${id}`, () => this.kv.delete(id)),
      },
      memory: {
        restore: () => never(),
        keepPublished: (published) =>
          call(() => {
            this.log.push(`store ${published.snapshot.generation}`)
            this.stored.published = structuredClone(published)
          }),
        keepLiveness: (liveness) =>
          call(() => {
            this.log.push('store liveness')
            this.stored.liveness = structuredClone(liveness)
          }),
        keepHealth: (health) =>
          call(() => {
            this.log.push('store health')
            this.stored.health = structuredClone(health)
          }),
        keepRollouts: (rollouts) =>
          call(() => {
            this.log.push('store rollouts')
            this.stored.rollouts = structuredClone(rollouts)
          }),
        keepCopied: (copied) =>
          call(() => {
            this.log.push(`store copied ${copied.seq}`)
            this.stored.copied = structuredClone(copied)
          }),
      },
    }
  }
}

/** A ledger as core sees it: it carries out orders for probes, and tells its blocks until they are confirmed. */
export class TestLedger {
  readonly #world: World
  snapshot: Snapshot | null = null
  loads: ModelLoads | null = null
  reported = 0
  life = 'first'
  blocks: Block[] = []
  #lastSeq = 0
  readonly #orders = new Map<string, { readonly order: ProbeOrder; readonly atMs: number }>()
  constructor(world: World) {
    this.#world = world
  }

  /** The next block, of the second that ends now. */
  tell(more: Partial<Block>): void {
    const nowMs = this.#world.clock.nowMs()
    this.#lastSeq += 1
    const empty = { endpoints: {}, arrivals: {}, roundTrips: {}, ways: {} }
    this.blocks.push({ seq: this.#lastSeq, fromMs: nowMs - 1_000, untilMs: nowMs, ...empty, ...more })
  }

  restart(): void {
    this.life = `after ${this.life}`
    this.blocks = []
    this.#lastSeq = 0
    this.#orders.clear()
  }

  exchange({ snapshot: whole, delta, loads, probes, confirmed, cell: name }: Exchange): ExchangeAnswer {
    const snapshot = whole ?? (this.snapshot && delta ? apply(this.snapshot, delta) : null)
    if (snapshot && snapshot.generation > (this.snapshot?.generation ?? 0)) this.snapshot = snapshot
    if (loads && loads.seq > (this.loads?.seq ?? 0)) this.loads = loads
    if (confirmed?.life === this.life) this.blocks = this.blocks.filter(({ seq }) => seq > confirmed.seq)
    const results = this.#results()
    // An order that is told again in the call that brings its result is no new one.
    for (const order of probes ?? []) if (!results.some(({ id }) => id === order.id)) this.#take(order)
    const members = (this.snapshot?.endpoints ?? []).filter((endpoint) => endpoint.cell === name)
    return {
      generation: Math.max(this.reported, this.snapshot?.generation ?? 0),
      life: this.life,
      endpoints: Object.fromEntries(members.map(({ id, slots }) => [id, this.#world.loads.get(id) ?? idle(slots)])),
      blocks: this.blocks,
      queued: 0,
      load: name === null ? null : { cell: name as CellId, slots: 4, free: 4, waitMs: 0, blindWaitMs: 0, ttftMs: null },
      probes: results,
    }
  }

  #take(order: ProbeOrder): void {
    if (this.#orders.has(order.id)) return
    this.#world.log.push(`probe ${order.endpoint} ${order.kind}`)
    this.#orders.set(order.id, { order, atMs: this.#world.clock.nowMs() })
  }

  #results(): ProbeResult[] {
    const nowMs = this.#world.clock.nowMs()
    return [...this.#orders.values()].flatMap(({ order, atMs }) => {
      const url = this.snapshot?.endpoints.find(({ id }) => id === order.endpoint)?.url ?? ''
      const mood = this.#world.moods.get(url) ?? 'live'
      const silent = mood === 'hang' || (mood === 'wedged' && order.kind === 'generation')
      if (silent && nowMs - atMs < order.timeoutMs) return []
      this.#orders.delete(order.id)
      const { id, endpoint, kind, timeoutMs } = order
      const page = kind === 'metrics' && mood !== 'dead' ? (this.#world.pages.get(url) ?? null) : null
      const ok = !silent && mood !== 'dead' && (kind !== 'metrics' || page !== null)
      const result = { id, endpoint, kind, atMs, tookMs: silent ? timeoutMs : 1, ok, detail: mood, timedOut: silent }
      return [page ? { ...result, engine: page } : result]
    })
  }
}

/** A page of metrics on which nothing is told but this. */
export const engineRecord = (more: Partial<EngineRecord> = {}): EngineRecord => ({
  source: 'vllm',
  running: null,
  waiting: null,
  slots: null,
  kvUsed: null,
  ttftP50Ms: null,
  ttftP95Ms: null,
  tpotP50Ms: null,
  serviceMeanMs: null,
  prefixHitRate: null,
  preemptionsPerS: null,
  okPerS: null,
  failedPerS: null,
  loras: null,
  sleeping: null,
  version: null,
  ...more,
})

/** An endpoint's load while nothing has happened there. */
export const idle = (slots: number, more: Partial<EndpointLoad> = {}): EndpointLoad => ({
  inFlight: 0,
  cap: slots,
  breaker: 'closed',
  serviceMs: null,
  ttftMs: null,
  lastGoodAtMs: null,
  reason: null,
  ...more,
})

/** Outcomes of a block. */
export const outcomes = (more: Partial<EndpointBlock>): EndpointBlock => ({
  good: 0,
  soft_failure: 0,
  hard_failure: 0,
  cancelled: 0,
  timed: 0,
  tookMsSum: 0,
  ttfbMsSum: 0,
  ...more,
})

export class Loop {
  readonly state: LoopState
  readonly ports: LoopPorts
  readonly #life: { calls: number; dead: boolean }
  constructor(state: LoopState, ports: LoopPorts, life: { calls: number; dead: boolean }) {
    this.state = state
    this.ports = ports
    this.#life = life
  }
  get calls(): number {
    return this.#life.calls
  }
  get dead(): boolean {
    return this.#life.dead
  }
  kill(): void {
    this.#life.dead = true
  }
  turn(hurry: AbortSignal = new AbortController().signal): Promise<void> {
    return turn(this.state, this.ports, hurry)
  }
  /** A turn and all that it leaves running, as far as that needs no time. */
  async turnAndSettle(): Promise<void> {
    await this.turn()
    await settle()
  }
}

export const cell = (model: string, region: string): CellId => `${model}@${region}` as CellId
