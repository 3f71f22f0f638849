// The control loop's object. One per platform: it keeps the loop's state, and sees that there is a turn each second.

import { DurableObject } from 'cloudflare:workers'
import type { RolloutId } from '../shared/ids.ts'
import { limits } from '../shared/limits.ts'
import type { AdminRefusal } from '../shared/refusal.ts'
import { err, ok, type Result } from '../shared/result.ts'
import { loopPorts, type CoreEnv } from './deps.ts'
import type { LoopState, RolloutCommand, RolloutRequest, Stamp, Status } from './facts.ts'
import { awaken, turn } from './loop.ts'
import type { ControllerCalls, LoopPorts } from './ports.ts'
import { command, create, explanation, plan, type Room } from './rollout-asked.ts'
import type { Rollout } from './rollout/record.ts'
import { statusOf } from './status.ts'
import { Turns } from './turns.ts'

const unknownYet = err({ reason: 'controller_unreachable', afterMs: limits.catalogueWaitMsMax } as const)

export class Controller extends DurableObject<CoreEnv> implements ControllerCalls {
  readonly #ports: LoopPorts
  readonly #turns: Turns
  #state: LoopState | null = null

  constructor(ctx: DurableObjectState, env: CoreEnv) {
    super(ctx, env)
    this.#ports = loopPorts(env, ctx.storage)
    this.#turns = new Turns((hurry) => turn(this.state, this.#ports, hurry))
    void ctx.blockConcurrencyWhile(async () => {
      this.#state = awaken(await this.#ports.memory.restore(), this.#ports.clock.nowMs())
      await this.#keepAwake()
    })
  }

  /** The loop's state; complete once the constructor's block has ended, which is before any call comes in. */
  get state(): LoopState {
    if (!this.#state) throw new Error('controller: the state was used before it was restored')
    return this.#state
  }

  /** The next turn is scheduled before this one starts, so that no failure in it can be the last. */
  override async alarm(): Promise<void> {
    await this.#scheduleTurn()
    await this.#turns.tick()
  }

  async nudge(): Promise<void> {
    await this.#keepAwake()
    await this.#turns.nudge()
  }

  async status(): Promise<Status> {
    return statusOf(this.state, this.#ports.clock.nowMs())
  }

  async planRollout(asked: RolloutRequest): Promise<Result<object, AdminRefusal>> {
    const room = await this.#room()
    return room ? plan(asked, room) : unknownYet
  }

  async createRollout(asked: RolloutRequest, stamp: Stamp): Promise<Result<Rollout, AdminRefusal>> {
    const room = await this.#room()
    return room ? create(asked, stamp, room) : unknownYet
  }

  async commandRollout(id: RolloutId, asked: RolloutCommand, stamp: Stamp): Promise<Result<Rollout, AdminRefusal>> {
    const room = await this.#room()
    return room ? command(id, asked, stamp, room) : unknownYet
  }

  async explainRollout(id: RolloutId): Promise<Result<object, AdminRefusal>> {
    const [room, rollout] = await Promise.all([this.#room(), this.#ports.rollouts.get(id)])
    if (!rollout) return err({ reason: 'not_found', what: 'rollout', id })
    return room ? ok(await explanation(rollout, room)) : unknownYet
  }

  /** What is asked rests on what a turn has seen; null while none could read the catalogue. */
  async #room(): Promise<Room | null> {
    if (!this.state.catalogue) await this.nudge()
    const { catalogue } = this.state
    return catalogue && { catalogue, state: this.state, ports: this.#ports }
  }

  /** Whoever calls, from then on the object wakes itself: also where the platform gave an alarm up after too many failures. */
  async #keepAwake(): Promise<void> {
    if ((await this.ctx.storage.getAlarm()) === null) await this.#scheduleTurn()
  }

  async #scheduleTurn(): Promise<void> {
    await this.ctx.storage.setAlarm(this.#ports.clock.nowMs() + limits.turnMs)
  }
}
