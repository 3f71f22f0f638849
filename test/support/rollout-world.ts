// The real control loop over stores in memory, with ledgers that tell of seeded traffic: requests are assigned by the alias that a ledger's
// snapshot shows, and go bad as the test says. The clock moves a second a turn; nothing waits, so an hour passes in a moment. After a crash
// (`dieAt`) none of a loop's calls does anything or returns; `wake` goes on from what was stored.

import { awaken, turn } from '../../core/loop.ts'
import type { Deployment, LoopState, RolloutCommand, RolloutRequest, Stamp } from '../../core/facts.ts'
import type { LoopPorts } from '../../core/ports.ts'
import { command, create, explanation, plan, type Room } from '../../core/rollout-asked.ts'
import type { Explained } from '../../core/rollout-explain.ts'
import type { Rollout } from '../../core/rollout/record.ts'
import { cellIdOf, type EndpointId, type ModelName, type RegionName, type RolloutId, type VersionId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import { seededRandom, type Random } from '../../shared/random.ts'
import type { Alias, Snapshot } from '../../shared/wire/snapshot.ts'
import type { Block, Exchange, ExchangeAnswer } from '../../shared/wire/ledger.ts'
import type { Report } from '../../shared/wire/report.ts'
import { apply } from '../../shared/wire/delta.ts'
import { furnished, stamp, targetDraft, versionDraft } from './deploy-world.ts'
import { blockOf, Traffic, type Behaviour } from './rollout-traffic.ts'

export { sound, type Behaviour } from './rollout-traffic.ts'

export const atlas = 'atlas' as ModelName
export const v1 = 'atlas-1' as VersionId
export const v2 = 'atlas-2' as VersionId

type Stores = Awaited<ReturnType<typeof furnished>>
const regionNames = ['fra', 'iad', 'bom'] as const

export class RolloutWorld {
  readonly stores: Stores
  nowMs = 1_700_000_000_000
  /** Requests per second of production's alias, by region. */
  perS: Partial<Record<(typeof regionNames)[number], number>> = { fra: 8 }
  /** By version, and where a region has its own, by region and version. */
  readonly behaviours = new Map<string, Behaviour>()
  /** Regions whose ledger does not answer. */
  readonly silent = new Set<string>()
  /** Requests that each endpoint of a version holds and does not end. */
  readonly held = new Map<VersionId, number>()
  /** Endpoints whose probes fail. */
  readonly dead = new Set<string>()
  /** What deployers say; absent: everything is there at once. */
  bring: LoopPorts['deployers']['bring'] = (_, { id }) => Promise.resolve({ state: 'ready', detail: 'loaded', servedName: id })
  removed: string[] = []
  readonly #random: Random
  readonly #traffic: Traffic
  readonly #ledgers = new Map<string, Ledger>()
  readonly #stored: Stored = {
    published: null,
    liveness: {},
    health: { judged: [], waiting: [] },
    rollouts: { looks: [] },
    copied: { seq: 0, afterKey: null },
  }
  #ids = 0
  #life: Life
  state: LoopState
  ports: LoopPorts

  private constructor(stores: Stores, seed: number) {
    this.stores = stores
    this.#random = seededRandom(seed)
    this.#traffic = new Traffic(this.#random, this.behaviours)
    this.#life = { calls: 0, dead: false, dieAt: null, after: false }
    this.ports = this.#ports(this.#life)
    this.state = this.#awaken()
  }

  /** Production's alias of atlas on atlas-1, which stands in three regions; atlas-2 approved, with targets in all of them. */
  static async open(
    so: { readonly seed?: number; readonly slots?: number; readonly operatingPerS?: number | null } = {},
  ): Promise<RolloutWorld> {
    const stores = await furnished({
      regions: regionNames,
      versions: [versionDraft(v1), versionDraft(v2)],
      target: { slots: so.slots ?? 64, hasCredential: false, credential: null },
    })
    for (const region of regionNames) {
      const { kind, url, slots, operations, options } = targetDraft(region)
      await stores.make('endpoint', {
        kind,
        url,
        operations,
        options,
        id: `${region}-stable` as EndpointId,
        region: region as RegionName,
        version: v1,
        servedName: v1,
        slots: Math.max(slots, 64),
        weight: 1,
        state: 'enabled',
        maintenance: null,
        hasCredential: false,
        credential: null,
      })
    }
    await stores.make('approval', {
      environment: 'production',
      version: v2,
      approvedBy: 'ada',
      evidence: { note: '', reports: [], verdicts: [] },
      expiresAtMs: null,
    })
    const world = new RolloutWorld(stores, so.seed ?? 1)
    await world.turns(3)
    return world
  }

  // ---- Time ----

  /** So many turns, a second apart, each with what it leaves running. */
  async turns(count: number): Promise<void> {
    for (let number = 0; number < count; number++) {
      this.#tellTraffic()
      const watching = { isOver: false }
      await Promise.race([this.#turn(), this.#untilDead(watching)])
      watching.isOver = true
      if (this.#life.dead) return
      if (this.state.lastTurn?.error && this.silent.size === 0) throw new Error(`the turn failed: ${this.state.lastTurn.error}`)
      this.nowMs += limits.turnMs
    }
  }

  async #turn(): Promise<void> {
    await turn(this.state, this.ports, new AbortController().signal)
    await Promise.all([this.state.deploying, this.state.notifying, this.state.appending, this.state.copying])
  }

  /** Core is away for so long, and ledgers serve on: then another life of it. */
  async away(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      this.#tellTraffic()
      this.nowMs += limits.turnMs
    }
    this.wake()
    await this.turns(1)
  }

  /** Turns until it is so; fails after `secondsMax`. */
  async until(isSo: () => Promise<boolean>, secondsMax = 7_200): Promise<void> {
    for (let seconds = 0; seconds < secondsMax; seconds++) {
      if (await isSo()) return
      await this.turns(1)
    }
    throw new Error(`not so after ${secondsMax} s`)
  }

  async untilIn(id: RolloutId, ...phases: readonly Rollout['phase'][]): Promise<Rollout> {
    await this.until(async () => phases.includes((await this.rollout(id)).phase))
    return this.rollout(id)
  }

  // ---- People ----

  by(actor: string): Stamp {
    return { ...stamp, atMs: this.nowMs, actor, requestId: `q${++this.#ids}` }
  }

  get room(): Room {
    const { catalogue } = this.state
    if (!catalogue) throw new Error('no turn has been taken')
    return { catalogue, state: this.state, ports: this.ports }
  }

  request(more: Partial<RolloutRequest> = {}): RolloutRequest {
    const usual = { environment: 'production', model: atlas, to: v2, from: null, fourEyes: false, start: true, reason: 'a test' } as const
    return { ...usual, steps: [weight(5_000, 60)], gates: [{ gate: 'accuracy', mode: 'observe' }], ...more }
  }

  plan(more: Partial<RolloutRequest> = {}) {
    return plan(this.request(more), this.room)
  }

  create(more: Partial<RolloutRequest> = {}) {
    return create(this.request(more), this.by('ada'), this.room)
  }

  /** As create, and it must start. */
  async start(more: Partial<RolloutRequest> = {}): Promise<RolloutId> {
    const made = await this.create(more)
    if (!made.ok) throw new Error(JSON.stringify(made.error))
    return made.value.id
  }

  say(id: RolloutId, name: RolloutCommand['command'], more: Partial<RolloutCommand> & { readonly actor?: string } = {}) {
    const { actor = 'grace', ...rest } = more
    const usual = { reason: 'a test', approver: null, to: null, scopes: [], generation: null, dryRun: false }
    return command(id, { command: name, ...usual, ...rest }, this.by(actor), this.room)
  }

  /** Waits for an answer, or until nobody is left to give one. */
  async hear(answer: Promise<unknown>): Promise<void> {
    const watching = { isOver: false }
    await Promise.race([answer, this.#untilDead(watching)])
    watching.isOver = true
  }

  // ---- What there is ----

  async rollout(id: RolloutId): Promise<Rollout> {
    const found = await this.stores.rollouts.get(id)
    if (!found) throw new Error(`no rollout ${id}`)
    return found
  }

  async alias() {
    const row = await this.stores.rows.get('alias', ['production', atlas])
    if (!row) throw new Error('no alias')
    return row
  }

  get published(): Alias {
    const found = this.state.published?.snapshot.aliases[0]
    if (!found) throw new Error('nothing is published')
    return found
  }

  async explain(id: RolloutId): Promise<Explained> {
    return explanation(await this.rollout(id), this.room)
  }

  async phases(id: RolloutId): Promise<readonly string[]> {
    return (await this.stores.rollouts.transitions(id)).map(({ to }) => to)
  }

  async verdicts(id: RolloutId) {
    return (await this.stores.verdicts.list({ rollout: id, version: null, beforeSeq: null, limit: 200 })).toReversed()
  }

  deployments(version: VersionId): Promise<readonly Deployment[]> {
    return this.stores.deployments.list({ version, afterKey: null, limit: 100 })
  }

  async report(version: VersionId, report: Report): Promise<void> {
    const row = {
      id: `${version} ${++this.#ids}`,
      version,
      environment: 'production' as const,
      setName: report.set.name,
      setDigest: report.set.digest,
      items: report.set.items,
      answered: report.results.length,
      scores: {},
      actor: 'ada',
      createdAtMs: this.nowMs,
      text: JSON.stringify(report),
    }
    const added = await this.stores.reports.add(row, this.by('ada'))
    if (!added.ok) throw new Error(JSON.stringify(added.error))
  }

  // ---- Crashes ----

  /** The loop's n-th call outside from now on is its last: before it takes effect, or after. */
  dieAt(call: number, after: boolean): void {
    Object.assign(this.#life, { dieAt: this.#life.calls + call, after })
  }

  get isDead(): boolean {
    return this.#life.dead
  }

  /** Another life of the object, with what was stored. */
  wake(): void {
    this.#life.dead = true
    this.#life = { calls: 0, dead: false, dieAt: null, after: false }
    this.ports = this.#ports(this.#life)
    this.state = this.#awaken()
  }

  #awaken(): LoopState {
    const kept = structuredClone(this.#stored)
    const stored = {
      published: kept.published,
      keptLiveness: kept.liveness,
      keptHealth: kept.health,
      keptRollouts: kept.rollouts,
      copied: kept.copied,
      generationFloor: 0,
    }
    return awaken(stored as Parameters<typeof awaken>[0], this.nowMs)
  }

  async #untilDead(watching: { readonly isOver: boolean }): Promise<void> {
    while (!this.#life.dead && !watching.isOver) await new Promise<void>((resolve) => setImmediate(resolve))
  }

  // ---- Everything outside ----

  #ports(life: Life): LoopPorts {
    const call = async <T>(effect: () => T | Promise<T>): Promise<T> => {
      if (life.dead) return new Promise<T>(() => undefined)
      life.calls += 1
      const isLast = life.calls === life.dieAt
      if (isLast && !life.after) life.dead = true
      if (life.dead) return new Promise<T>(() => undefined)
      const value = await effect()
      if (isLast) life.dead = true
      return life.dead ? new Promise<T>(() => undefined) : value
    }
    const through = <Store extends object>(store: Store): Store =>
      new Proxy(store, {
        get: (target, name) => {
          const method: unknown = Reflect.get(target, name)
          if (typeof method !== 'function') return method
          return (...args: readonly unknown[]) =>
            call(async () => structuredClone(await Reflect.apply(method, target, structuredClone(args))))
        },
      })
    const keep = (name: keyof Stored) => (value: unknown) => call(() => void (this.#stored[name] = structuredClone(value)))
    const nothing = () => Promise.resolve()
    const { stores } = this
    return {
      clock: { nowMs: () => this.nowMs },
      timer: { sleep: (_, signal) => new Promise((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true })) },
      random: this.#random,
      catalogue: through(stores.catalogue),
      credentials: { ofKey: () => Promise.resolve(null), ofTenant: () => Promise.resolve([]), writesAfter: () => Promise.resolve([]) },
      ledgers: { exchange: (target, exchange) => call(() => this.#exchange(target.name, target.cell, structuredClone(exchange))) },
      copies: { putSnapshot: nothing, snapshotGeneration: () => Promise.resolve(0), putCredential: nothing, dropCredential: nothing },
      events: { append: nothing },
      rollouts: through(stores.rollouts),
      verdicts: through(stores.verdicts),
      reports: through(stores.reports),
      loadRuns: through(stores.loadRuns),
      outbox: through(stores.outbox),
      deployments: through(stores.deployments),
      deliveries: through(stores.deliveries),
      rows: through(stores.rows),
      deployers: {
        bring: (target, version) => call(() => this.bring(target, version)),
        remove: (target, { id }) =>
          call(() => {
            this.removed.push(`${target.id} ${id}`)
            return { state: 'gone' as const, detail: 'unloaded' }
          }),
        credentialFor: () => Promise.resolve(null),
      },
      poster: { post: () => call(() => ({ status: 204, error: null, retryAfterMs: null })) },
      openSecret: () => Promise.resolve(null),
      freshId: () => `id${++this.#ids}`,
      signer: () => Promise.resolve(null),
      memory: {
        restore: () => new Promise(() => undefined),
        keepPublished: keep('published'),
        keepLiveness: keep('liveness'),
        keepHealth: keep('health'),
        keepRollouts: keep('rollouts'),
        keepCopied: keep('copied'),
      },
    }
  }

  #ledger(name: string): Ledger {
    const known = this.#ledgers.get(name) ?? { snapshot: null, blocks: [], seq: 0 }
    this.#ledgers.set(name, known)
    return known
  }

  #exchange(name: string, cell: string | null, { snapshot, delta, probes, confirmed }: Exchange): ExchangeAnswer {
    if (cell !== null && this.silent.has(cell.split('@')[1] ?? '')) throw new Error('silent')
    const ledger = this.#ledger(name)
    ledger.snapshot = snapshot ?? (ledger.snapshot && delta ? apply(ledger.snapshot, delta) : null) ?? ledger.snapshot
    if (confirmed) ledger.blocks = ledger.blocks.filter(({ seq }) => seq > confirmed.seq)
    const members = (ledger.snapshot?.endpoints ?? []).filter((endpoint) => endpoint.cell === cell)
    const load = { breaker: 'closed' as const, serviceMs: 200, ttftMs: 100, reason: null }
    return {
      generation: ledger.snapshot?.generation ?? 0,
      life: 'life',
      endpoints: Object.fromEntries(
        members.map(({ id, slots, version }) => [
          id,
          { ...load, inFlight: this.held.get(version) ?? 0, cap: slots, lastGoodAtMs: this.dead.has(id) ? null : this.nowMs },
        ]),
      ),
      blocks: structuredClone(ledger.blocks),
      queued: 0,
      load: null,
      probes: (probes ?? []).map(({ id, endpoint, kind }) => {
        const ok = !this.dead.has(endpoint) && kind !== 'metrics'
        return { id, endpoint, kind, atMs: this.nowMs, tookMs: 1, ok, detail: ok ? 'ok' : 'no', timedOut: false }
      }),
    }
  }

  /** A second of traffic, as each region's ledger tells it. */
  #tellTraffic(): void {
    for (const [region, perS] of Object.entries(this.perS)) {
      const ledger = this.#ledger(cellIdOf(atlas, region as RegionName))
      const alias = ledger.snapshot?.aliases.find(({ environment }) => environment === 'production')
      if (!alias || this.silent.has(region)) continue
      const trials = this.#traffic.tell({ alias, region, perS, nowMs: this.nowMs })
      if (trials.length > 0) ledger.blocks.push(blockOf(++ledger.seq, trials, this.nowMs))
    }
  }
}

type Stored = { published: unknown; liveness: unknown; health: unknown; rollouts: unknown; copied: unknown }
type Life = { calls: number; dead: boolean; dieAt: number | null; after: boolean }
type Ledger = { snapshot: Snapshot | null; blocks: Block[]; seq: number }

export const weight = (weightBp: number, bakeS: number, more: object = {}): object => ({
  kind: 'weight',
  weightBp,
  bakeMs: bakeS * 1_000,
  minRequests: 30,
  ...more,
})
export const shadow = (shareBp: number, forS: number): object => ({ kind: 'shadow', shareBp, forMs: forS * 1_000 })
