// The Durable Object that owns one cell: it alone grants leases on the cell's endpoints, so its counts are exact.
// The same class, under the name `home:<origin>`, keeps the snapshot for isolates that know no cell yet.
// Leases live in memory only: after a restart the engines' own queues absorb what was in flight, and every lease has a deadline.

import { DurableObject } from 'cloudflare:workers'
import { limits } from '../../shared/limits.ts'
import { systemClock, systemRandom } from '../../shared/system.ts'
import type { CellId, EndpointId } from '../../shared/ids.ts'
import { readSnapshot, type Endpoint, type Snapshot } from '../../shared/wire/snapshot.ts'
import type { Ask, AskAnswer, Denial, Exchange, ExchangeAnswer, LedgerCalls, Settled, SnapshotAnswer } from '../../shared/wire/ledger.ts'
import { expire, findLease, grant, inFlight, leaseCount, noLeases, settle } from './leases.ts'
import { pick } from './pick.ts'
import { count, takeTally, type Tally } from './tally.ts'

const storageKey = 'snapshot'

export class Ledger extends DurableObject<unknown> implements LedgerCalls {
  #snapshot: Snapshot | null = null
  /** Endpoints by cell, derived from the snapshot once instead of at each ask. */
  #cells = new Map<CellId, readonly Endpoint[]>()
  readonly #leases = noLeases()
  readonly #tally: Tally = new Map()
  #sweptAtMs = 0

  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env)
    // Nothing is answered before the last snapshot is back: a ledger that has just been moved must not deny what it knew.
    void ctx.blockConcurrencyWhile(async () => {
      const stored = readSnapshot(await ctx.storage.get(storageKey))
      if (stored) this.#take(stored)
    })
  }

  /** Grants a lease on the best endpoint of the cell, or says why not. Asking again with a live lease's id gives the same endpoint. */
  ask(ask: Ask): Promise<AskAnswer> {
    const nowMs = systemClock.nowMs()
    this.#sweep(nowMs)
    const snapshot = this.#snapshot
    if (!snapshot) return Promise.resolve({ lease: null, denied: 'no_snapshot', generation: 0, snapshot: null })
    const news = { generation: snapshot.generation, snapshot: ask.generation < snapshot.generation ? snapshot : null }
    const granted = this.#grant(ask)
    return Promise.resolve('endpoint' in granted ? { lease: granted, denied: null, ...news } : { lease: null, ...granted, ...news })
  }

  #grant(ask: Ask): { readonly endpoint: EndpointId } | { readonly denied: Denial } {
    const held = findLease(this.#leases, ask.leaseId)
    if (held) return { endpoint: held.endpoint }
    if (leaseCount(this.#leases) >= limits.leasesMax) return { denied: 'no_room' }
    const picked = pick(this.#cells.get(ask.cell) ?? [], ask, (endpoint) => inFlight(this.#leases, endpoint), systemRandom)
    if ('denied' in picked) return picked
    const endpoint = picked.endpoint.id
    grant(this.#leases, ask.leaseId, { endpoint, deadlineMs: ask.deadlineMs })
    return { endpoint }
  }

  /** Takes leases back with what became of them. Unknown ids are ignored: they expired, or an earlier life of this object granted them. */
  settle(settled: readonly Settled[]): Promise<void> {
    for (const { leaseId, outcome } of settled.slice(0, limits.settledMax)) {
      const lease = settle(this.#leases, leaseId)
      if (lease) count(this.#tally, lease.endpoint, outcome)
    }
    return Promise.resolve()
  }

  /** Core's call, once a turn. The answer leaves only when a new snapshot is durable (output gate). */
  async exchange(exchange: Exchange): Promise<ExchangeAnswer> {
    this.#sweep(systemClock.nowMs())
    if (exchange.snapshot && exchange.snapshot.generation > (this.#snapshot?.generation ?? 0)) {
      this.#take(exchange.snapshot)
      await this.ctx.storage.put(storageKey, exchange.snapshot)
    }
    const counts = [...this.#leases].map(([endpoint, held]) => [endpoint, held.size] as const)
    return { generation: this.#snapshot?.generation ?? 0, inFlight: Object.fromEntries(counts), outcomes: takeTally(this.#tally) }
  }

  /** The snapshot, when it is newer than `generation`. */
  snapshotSince(generation: number): Promise<SnapshotAnswer> {
    const known = this.#snapshot?.generation ?? 0
    return Promise.resolve({ generation: known, snapshot: known > generation ? this.#snapshot : null })
  }

  #take(snapshot: Snapshot): void {
    this.#snapshot = snapshot
    this.#cells = Map.groupBy(snapshot.endpoints, (endpoint) => endpoint.cell)
  }

  /** At most once a second: expiry is a safety net, not a schedule. */
  #sweep(nowMs: number): void {
    if (nowMs - this.#sweptAtMs < limits.turnMs) return
    this.#sweptAtMs = nowMs
    expire(this.#leases, nowMs)
  }
}
