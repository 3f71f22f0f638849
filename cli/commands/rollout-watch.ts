// Looks at one rollout until something is so: the CI gate (`status --wait`) and the view that redraws itself (`get --watch`). Core may be
// away for a moment, or for the whole of a wait: only the time that was given ends it.

import { mayPass } from '../api/core-client.ts'
import { exitCodes, type ExitCode } from '../api/exit.ts'
import { read, rolloutSchema, type RolloutRow } from '../api/shapes.ts'
import { note, show, type Context } from './context.ts'
import { waitsForIn } from './explain-text.ts'
import { endOf, newsOf, pauseMsAfter, type Wait } from './rollout-wait.ts'
import { isOver, rolloutText, transitionText, waitsFor } from './rollout-text.ts'

/** A last look is worth so much time although the wait is nearly over. */
const lookMsMin = 1_000
/** The wait is over: why it was in vain may take no longer. */
const explainMsMax = 3_000

/** Gives each new state to `seen` until that gives an exit code, or the time is over. The first look may fail like the others. */
async function follow(
  context: Context,
  { id, timeoutMs }: { readonly id: string; readonly timeoutMs: number },
  seen: (rollout: RolloutRow) => ExitCode | null,
): Promise<ExitCode> {
  const { core, world } = context
  const endsAtMs = world.clock.nowMs() + timeoutMs
  let generation: number | null = null
  for (let failures = 0; ;) {
    const leftMs = endsAtMs - world.clock.nowMs()
    try {
      const { body } = await core.look(['rollouts', id], Math.max(lookMsMin, leftMs))
      const rollout = read(rolloutSchema, body, 'rollout')
      if (failures > 0) note(context, 'core answers again')
      failures = 0
      if (rollout.generation !== generation) {
        generation = rollout.generation
        const ended = seen(rollout)
        if (ended !== null) return ended
      }
    } catch (cause) {
      if (!mayPass(cause)) throw cause
      failures++
      if (failures === 1) note(context, `${cause instanceof Error ? cause.message : String(cause)}; waiting on`)
    }
    const restMs = endsAtMs - world.clock.nowMs()
    if (restMs <= 0) return exitCodes.timedOut
    await world.timer.sleep(Math.min(pauseMsAfter(failures), restMs))
  }
}

export type Waiting = Wait & { readonly id: string; readonly timeoutMs: number }

/** Prints each transition as it comes; with --json one document at the end. */
export async function waitFor(context: Context, { id, timeoutMs, ...wait }: Waiting): Promise<ExitCode> {
  const { world, isJson } = context
  let told = -1
  let last: RolloutRow | null = null
  const exitCode = await follow(context, { id, timeoutMs }, (rollout) => {
    const news = newsOf(rollout, told)
    if (!isJson) {
      if (told < 0 && news.length === 0) world.out.write(`${rollout.id}  ${rollout.phase}\n`)
      for (const each of news) world.out.write(`${transitionText(each)}\n`)
      const waits = rollout.phase === 'paused' ? waitsFor(rollout, world.clock.nowMs()) : null
      if (waits !== null) world.out.write(`  waits: ${waits}\n`)
    }
    // Of what was told, not of the rollout: the list is read after it, and may know more.
    told = Math.max(told, 0, ...news.map((each) => each.generation))
    last = rollout
    return endOf(rollout, wait)
  })
  const timedOut = exitCode === exitCodes.timedOut
  const waitsForNow = timedOut ? await explained(context, id) : null
  if (isJson) show(context, { id, until: wait.until, exitCode, timedOut, waitsFor: waitsForNow, rollout: last }, '')
  else note(context, `${endText(exitCode, last, wait)}${waitsForNow === null ? '' : `; it waits for ${waitsForNow}`}`)
  return exitCode
}

/** What it waits for, by core's own word; null where core does not say. */
const explained = ({ core }: Context, id: string): Promise<string | null> =>
  core.look(['rollouts', id, 'explain'], explainMsMax).then(
    ({ body }) => waitsForIn(body),
    () => null,
  )

function endText(exitCode: ExitCode, rollout: RolloutRow | null, { until }: Wait): string {
  const phase = rollout ? `it is ${rollout.phase}` : 'core never answered'
  if (exitCode === exitCodes.ok) return `reached ${until}`
  return exitCode === exitCodes.timedOut ? `the wait is over, and ${phase}` : `${until} was not reached: ${phase}`
}

/** On a terminal each state in the place of the one before; elsewhere one after the other. */
const clearScreen = '\u001b[H\u001b[2J'

/** Shows the rollout at each change until it is over. */
export async function watch(context: Context, so: { readonly id: string; readonly timeoutMs: number }): Promise<ExitCode> {
  const { world, isJson } = context
  let last: RolloutRow | null = null
  const exitCode = await follow(context, so, (rollout) => {
    last = rollout
    if (!isJson) world.out.write(`${world.out.isTTY === true ? clearScreen : ''}${rolloutText(rollout, world.clock.nowMs())}\n\n`)
    return isOver(rollout) ? endOf(rollout, { until: 'succeeded', failOnPause: false }) : null
  })
  if (isJson) show(context, last, '')
  return exitCode
}
