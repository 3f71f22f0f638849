// A world for the control loop, in memory and under a clock that moves only when told: database, ledgers, model servers, KV, storage.
// Each incarnation of the loop gets ports of its own; after `kill` none of its calls does anything or returns, as after a crash.

import type { Copied, KeptLiveness, LoopState, Published, CatalogueEndpoint, Catalogue } from '../../../core/facts.ts'
import { awaken, turn } from '../../../core/loop.ts'
import type { LoopPorts } from '../../../core/ports.ts'
import type { CellId, EndpointId, KeyId, ModelName, RegionName, TenantId, VersionId } from '../../../shared/ids.ts'
import { seededRandom } from '../../../shared/random.ts'
import type { Timer } from '../../../shared/time.ts'
import { credentialFormat, type Credential } from '../../../shared/wire/credential.ts'
import type { ExchangeAnswer } from '../../../shared/wire/ledger.ts'
import type { Region, Snapshot } from '../../../shared/wire/snapshot.ts'

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

export type Mood = 'live' | 'dead' | 'hang'
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
})

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
  ledgers = new Map<string, { snapshot: Snapshot | null; reported: number }>()
  evidence: Pick<ExchangeAnswer, 'inFlight' | 'outcomes'> = { inFlight: {}, outcomes: {} }
  kv = new Map<string, unknown>()
  kvMood: 'live' | 'hang' | 'fail' = 'live'
  stored: { published: Published | null; liveness: KeptLiveness; copied: Copied } = {
    published: null,
    liveness: {},
    copied: { seq: 0, afterKey: null },
  }

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
    const state = awaken({
      published: structuredClone(this.stored.published),
      keptLiveness: structuredClone(this.stored.liveness),
      copied: structuredClone(this.stored.copied),
      generationFloor: this.stored.published?.snapshot.generation ?? 0,
    })
    return new Loop(state, ports, life)
  }

  ledger(name: string): { snapshot: Snapshot | null; reported: number } {
    const known = this.ledgers.get(name) ?? { snapshot: null, reported: 0 }
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
    const query = <T>(effect: () => T) =>
      call(() => {
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
      prober: {
        check: (address) =>
          call(() => {
            const url = address.replace(/\/health$/, '')
            this.log.push(`probe ${url}`)
            const mood = this.moods.get(url) ?? 'live'
            return mood === 'hang' ? never() : { ok: mood === 'live', detail: mood }
          }),
      },
      ledgers: withLedgers
        ? {
            exchange: (target, { snapshot }) =>
              call(async () => {
                const mood = this.ledgerMoods.get(target.name) ?? 'live'
                this.log.push(`exchange ${target.name} ${snapshot?.generation ?? '-'}`)
                if (mood === 'hang') return never()
                if (mood === 'fail') throw new Error('ledger: out of order')
                const ledger = this.ledger(target.name)
                if (snapshot && snapshot.generation > (ledger.snapshot?.generation ?? 0)) ledger.snapshot = structuredClone(snapshot)
                const answer = { generation: Math.max(ledger.reported, ledger.snapshot?.generation ?? 0), ...this.evidence }
                const delayMs = this.ledgerDelayMs.get(target.name)
                if (delayMs) await this.clock.sleep(delayMs)
                return answer
              }),
          }
        : null,
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
        keepCopied: (copied) =>
          call(() => {
            this.log.push(`store copied ${copied.seq}`)
            this.stored.copied = structuredClone(copied)
          }),
      },
    }
  }
}

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
