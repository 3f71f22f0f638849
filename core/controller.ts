// The control loop's object. One per platform: it keeps the loop's state, and sees that there is a turn each second.

import { DurableObject } from 'cloudflare:workers'
import { limits } from '../shared/limits.ts'
import { loopPorts, type CoreEnv } from './deps.ts'
import type { LoopState, Status } from './facts.ts'
import { awaken, turn } from './loop.ts'
import type { ControllerCalls, LoopPorts } from './ports.ts'
import { statusOf } from './status.ts'
import { Turns } from './turns.ts'

export class Controller extends DurableObject<CoreEnv> implements ControllerCalls {
  readonly #ports: LoopPorts
  readonly #turns: Turns
  #state: LoopState | null = null

  constructor(ctx: DurableObjectState, env: CoreEnv) {
    super(ctx, env)
    this.#ports = loopPorts(env, ctx.storage)
    this.#turns = new Turns((hurry) => turn(this.state, this.#ports, hurry))
    void ctx.blockConcurrencyWhile(async () => {
      this.#state = awaken(await this.#ports.memory.restore())
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

  /** Whoever calls, from then on the object wakes itself: also where the platform gave an alarm up after too many failures. */
  async #keepAwake(): Promise<void> {
    if ((await this.ctx.storage.getAlarm()) === null) await this.#scheduleTurn()
  }

  async #scheduleTurn(): Promise<void> {
    await this.ctx.storage.setAlarm(this.#ports.clock.nowMs() + limits.turnMs)
  }
}
