// A world for telling: stores, in memory or not, with a rollout in them, webhooks, receivers that do as they are told, a clock moved by hand, and
// ports that can crash before or after any of their calls.

import type { Draft, Stamp } from '../../../core/facts.ts'
import { notify, type NotifyPorts } from '../../../core/notify/notify.ts'
import type { Poster } from '../../../core/ports.ts'
import type { Rollout } from '../../../core/rollout/record.ts'
import type { Moved } from '../../../core/rollout/change.ts'
import type { WebhookId } from '../../../shared/ids.ts'
import { seededRandom } from '../../../shared/random.ts'
import type { Verdict } from '../../../shared/wire/gate.ts'
import { fakeStores, type FakeStores } from '../../support/rollout-stores.ts'
import { Ride, v1, v2 } from './rollout-ride.ts'

export const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

export type Posted = Parameters<Poster['post']>[0]
export type Answer = Awaited<ReturnType<Poster['post']>>
export const taken: Answer = { status: 200, error: null, retryAfterMs: null }

type Stores = Pick<FakeStores, 'rows' | 'rollouts' | 'verdicts' | 'outbox' | 'deliveries'>

/** Where a life of core ends: at its nth call of a port, before that did anything or after it did everything. */
export type Crash = { readonly call: number; readonly when: 'before' | 'after' }

export class NotifyWorld {
  readonly stores: Stores
  readonly ride: Ride
  readonly posts: Posted[] = []
  /** Ids of deliveries, as often as a batch with them took effect. */
  readonly begun: string[] = []
  nowMs = 1_700_000_000_000
  receive: (posted: Posted) => Answer | Promise<Answer> = () => taken
  readonly #random = seededRandom(1)

  constructor(steps: ConstructorParameters<typeof Ride>[0] = [{ kind: 'pause', untilMs: null }], stores: Stores = fakeStores()) {
    this.stores = stores
    this.ride = new Ride(steps)
    this.ride.atMs = this.nowMs
  }

  stamp = (): Stamp => ({ atMs: this.nowMs, actor: 'controller', requestId: 'r', reason: null })

  async furnish(): Promise<this> {
    const { rows, rollouts } = this.stores
    const { rollout } = this.ride
    const model = {
      name: rollout.model,
      description: '',
      firstTokenMsMax: null,
      holdMsMax: null,
      strategy: 'least-latency',
      affinity: 'none',
    }
    await must(rows.create('model', { ...model, hedging: false } as Draft<'model'>, this.stamp()))
    for (const id of [v1, v2]) {
      const digest = `sha256:${'0'.repeat(64)}`
      await must(rows.create('version', { id, model: rollout.model, digest, engine: 'x', flags: {} } as Draft<'version'>, this.stamp()))
    }
    const alias = { environment: rollout.environment, model: rollout.model, stable: v1, canary: null, weightBp: 0, salt: 's' }
    await must(rows.create('alias', alias as Draft<'alias'>, this.stamp()))
    await must(rollouts.create(rollout, this.stamp()))
    return this
  }

  async webhook(id: string, more: Partial<Draft<'webhook'>> = {}): Promise<void> {
    const draft = { id: id as WebhookId, url: `https://${id}.test/in`, format: 'standard', events: null, disabled: false, secret } as const
    await must(this.stores.rows.create('webhook', { ...draft, ...more }, this.stamp()))
  }

  /** Stores a change as the loop does. */
  async commit(before: Rollout, moved: Moved, verdicts: readonly Verdict[] = []): Promise<void> {
    this.ride.hold(moved)
    await must(this.stores.rollouts.commit(before, moved, { verdicts }, this.stamp()))
  }

  async take(input: Parameters<Ride['try']>[0], verdicts: readonly Verdict[] = []): Promise<void> {
    const { rollout } = this.ride
    const moved = this.ride.try(input)
    if (!moved.ok) throw new Error(`${input.kind} in ${rollout.phase}: ${JSON.stringify(moved.error)}`)
    await this.commit(rollout, moved.value, verdicts)
  }

  ports(crash: Crash | null = null): NotifyPorts {
    const life = new Life(crash)
    const { outbox, deliveries, rollouts, verdicts } = this.stores
    return {
      clock: { nowMs: () => this.nowMs },
      // Time does not pass by itself: nothing is ever late.
      timer: { sleep: (_forMs, signal) => new Promise((resolve) => signal?.addEventListener('abort', () => resolve())) },
      random: this.#random,
      openSecret: life.call(async (sealed) => sealed),
      poster: {
        post: life.call(async (posted) => {
          this.posts.push(posted)
          return this.receive(posted)
        }),
      },
      outbox: { undone: life.call((kinds, limit) => outbox.undone(kinds, limit)) },
      rollouts: { get: life.call((id) => rollouts.get(id)), transitions: life.call((id) => rollouts.transitions(id)) },
      verdicts: { list: life.call((page) => verdicts.list(page)) },
      deliveries: {
        webhooks: life.call(() => deliveries.webhooks()),
        due: life.call((nowMs, limit) => deliveries.due(nowMs, limit)),
        attempted: life.call((id, after) => deliveries.attempted(id, after)),
        begin: life.call(async (begun, done, atMs) => {
          this.begun.push(...begun.map(({ id }) => id))
          await deliveries.begin(begun, done, atMs)
        }),
      },
    }
  }

  round(crash: Crash | null = null): Promise<void> {
    return notify(this.ports(crash), this.nowMs)
  }

  /** Rounds until nothing is left to do, whatever the time that takes; at most so many. */
  async finish(roundsMax = 500): Promise<void> {
    for (let round = 0; round < roundsMax; round++) {
      await this.round()
      const [next] = await this.stores.deliveries.due(Number.MAX_SAFE_INTEGER, 1)
      const waiting = await this.stores.outbox.undone(['outbox', 'notify'], 1)
      if (!next && waiting.length === 0) return
      this.nowMs = Math.max(this.nowMs, next?.nextAtMs ?? 0)
    }
    throw new Error('there is always something left to do')
  }
}

/** One life of core: after its crash none of its calls does anything. */
class Life {
  readonly #crash: Crash | null
  #calls = 0
  #isOver = false

  constructor(crash: Crash | null) {
    this.#crash = crash
  }

  call<A extends readonly unknown[], R>(port: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
    return async (...args) => {
      if (this.#isOver) throw new Error('crashed')
      this.#calls += 1
      if (this.#calls !== this.#crash?.call) return port(...args)
      this.#isOver = true
      if (this.#crash.when === 'after') await port(...args)
      throw new Error('crashed')
    }
  }
}

async function must(done: Promise<{ readonly ok: boolean }>): Promise<void> {
  const result = await done
  if (!result.ok) throw new Error(JSON.stringify(result))
}
