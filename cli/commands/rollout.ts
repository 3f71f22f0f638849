// `isochrone rollout`: plan, start, watch, steer. What may happen to a rollout is core's to say; here it is only asked for and shown.

import { Option, type Command } from 'commander'
import * as v from 'valibot'
import { environments } from '../../shared/ids.ts'
import type { Query } from '../api/core-client.ts'
import { exitCodes, usageStop, type ExitCode } from '../api/exit.ts'
import { exitCodeOfFaults } from '../api/problem.ts'
import { planSchema, read, rolloutSchema, type RolloutRow } from '../api/shapes.ts'
import { show, type Context } from './context.ts'
import { explainText } from './explain-text.ts'
import { duration, reasonOption } from './options.ts'
import type { Bind } from './program.ts'
import { addMaking, bodyOf, type Making } from './rollout-request.ts'
import { planText, rolloutTable, rolloutText } from './rollout-text.ts'
import { waitFor, watch } from './rollout-watch.ts'

const rowsMax = 200

export function addRollout(program: Command, bind: Bind): void {
  const rollout = program.command('rollout').description('the way of a version to all of the traffic of a model')
  addPlan(rollout, bind)
  addStart(rollout, bind)
  addGet(rollout, bind)
  addStatus(rollout, bind)
  for (const each of commands) addCommand(rollout, bind, each)
  const explained = rollout
    .command('explain <rollout>')
    .description('why it is where it is: every gate and metric with its numbers now')
    .addHelpText('after', '\nExample:\n  $ isochrone rollout explain r-7mkq0t2r')
  bind(explained, explain)
}

// ---- plan and start ----

function addPlan(rollout: Command, bind: Bind): void {
  const command = rollout
    .command('plan')
    .description('what a rollout would be; nothing moves')
    .addHelpText(
      'after',
      '\nExample:\n  $ isochrone rollout plan --env staging --model atlas --to atlas-2.q4_0 --step weight=5%,bake=15m,min=100 --step weight=100%,bake=30m',
    )
  bind(addMaking(command), plan)
}

async function plan(context: Context, _: readonly string[], options: Making): Promise<ExitCode> {
  const { body } = await context.core.post(['rollouts'], bodyOf(options, 'isochrone rollout plan', false), { query: { dry_run: true } })
  const row = read(planSchema, body, 'plan')
  show(context, row, planText(row))
  return exitCodeOfFaults(row.refusals)
}

function addStart(rollout: Command, bind: Bind): void {
  const command = rollout
    .command('start [rollout]')
    .description('make a rollout and start it; or start one that is approved')
    .option('--draft', 'make it, and leave it a draft')
    .addHelpText(
      'after',
      '\nExample:\n  $ isochrone rollout start --env staging --model atlas --to atlas-2.q4_0 --reason "half the memory"',
    )
  bind(addMaking(command).addOption(generationOption()), start)
}

type Start = Making & Steering & { readonly draft?: boolean }

async function start(context: Context, [id]: readonly string[], options: Start): Promise<ExitCode> {
  if (id !== undefined) {
    const making = ['env', 'model', 'to', 'from', 'step', 'steps', 'gate', 'fourEyes', 'draft'] as const
    const strange = making.find((name) => options[name] !== undefined)
    if (strange !== undefined) throw usageStop(`start ${id}: its plan is made, so --${strange} cannot be given with it.`)
    return steer(context, id, { path: 'start', body: { reason: reasonOf(options) }, options })
  }
  const body = bodyOf(options, reasonOf(options), options.draft !== true)
  return showRollout(context, (await context.core.post(['rollouts'], body)).body)
}

function showRollout(context: Context, body: unknown): ExitCode {
  const row = read(rolloutSchema, body, 'rollout')
  show(context, row, rolloutText(row, context.world.clock.nowMs()))
  return exitCodes.ok
}

// ---- get and status ----

const timeoutOption = (otherwise: string, otherwiseMs: number): Option =>
  new Option('--timeout <duration>', 'how long to wait at most').argParser(duration).default(otherwiseMs, otherwise)

function addGet(rollout: Command, bind: Bind): void {
  const command = rollout
    .command('get [rollout]')
    .description('one rollout, or all of them, newest first')
    .addOption(new Option('-e, --env <environment>', 'those of this environment').choices(environments))
    .option('--model <name>', 'those of this model')
    .option('--live', 'those that move an alias now')
    .option('-w, --watch', 'show it again at each change until it is over')
    .addOption(timeoutOption('12 h', 12 * 3_600_000))
    .addHelpText('after', '\nExample:\n  $ isochrone rollout get --live\n  $ isochrone rollout get r-7mkq0t2r --watch')
  bind(command, get)
}

type Get = {
  readonly env?: string
  readonly model?: string
  readonly live?: boolean
  readonly watch?: boolean
  readonly timeout: number
}

async function get(context: Context, [id]: readonly string[], options: Get): Promise<ExitCode> {
  if (id !== undefined) {
    if (options.watch === true) return watch(context, { id, timeoutMs: options.timeout })
    return showRollout(context, (await context.core.get(['rollouts', id])).body)
  }
  if (options.watch === true) throw usageStop('--watch needs the id of a rollout.')
  const query: Query = { environment: options.env, model: options.model, live: options.live === true ? true : undefined }
  const rows = read(v.array(rolloutSchema), (await context.core.list(['rollouts'], query, rowsMax)).map(bare), 'list of rollouts')
  show(context, rows, rolloutTable(rows, context.world.clock.nowMs()))
  return exitCodes.ok
}

/** A list may hold each rollout beside its place in the list. */
const bare = (row: unknown): unknown => (typeof row === 'object' && row !== null && 'rollout' in row ? row.rollout : row)

function addStatus(rollout: Command, bind: Bind): void {
  const command = rollout
    .command('status <rollout>')
    .description('where it is; with --wait a gate for CI: 0 it succeeded, 3 it ended otherwise, 4 the time is over')
    .option('--wait', 'wait, and print each transition as it comes')
    .addOption(timeoutOption('30 min', 30 * 60_000))
    .addOption(new Option('--until <phase>', 'the phase to wait for').default('succeeded').choices(phases))
    .option('--fail-on-pause', 'end with 3 where it pauses')
    .addHelpText('after', '\nExample:\n  $ isochrone rollout status r-7mkq0t2r --wait --timeout 2h --fail-on-pause')
  bind(command, status)
}

/** All phases (core/rollout/record.ts). */
export const phases = [
  'draft',
  'pending_approval',
  'approved',
  'warming',
  'shifting',
  'baking',
  'judging',
  'paused',
  'promoting',
  'aborting',
  'succeeded',
  'rolled_back',
  'superseded',
  'rejected',
] as const

type Status = { readonly wait?: boolean; readonly timeout: number; readonly until: string; readonly failOnPause?: boolean }

async function status(context: Context, [id = '']: readonly string[], options: Status): Promise<ExitCode> {
  const failOnPause = options.failOnPause === true
  if (options.wait === true) return waitFor(context, { id, timeoutMs: options.timeout, until: options.until, failOnPause })
  const row: RolloutRow = read(rolloutSchema, (await context.core.get(['rollouts', id])).body, 'rollout')
  show(context, row, rolloutText(row, context.world.clock.nowMs()))
  const hasEndedOtherwise = row.phase === 'rolled_back' || row.phase === 'rejected' || row.phase === 'superseded'
  return hasEndedOtherwise || (failOnPause && row.phase === 'paused') ? exitCodes.ended : exitCodes.ok
}

async function explain(context: Context, [id = '']: readonly string[]): Promise<ExitCode> {
  const { body } = await context.core.get(['rollouts', id, 'explain'])
  show(context, body, explainText(body))
  return exitCodes.ok
}

// ---- commands ----

type Steering = { readonly reason?: string; readonly ifGeneration?: number; readonly dryRun?: boolean }

const generationOption = (): Option =>
  new Option('--if-generation <number>', 'only while it is at this generation; else 5').argParser((text) => {
    if (!/^\d{1,15}$/.test(text)) throw usageStop(`--if-generation ${text}: must be a whole number.`)
    return Number(text)
  })

/** Each command: what it does, its options beside those of all, and what it says beside the reason. */
type Steer = {
  readonly name: string
  readonly does: string
  readonly options?: readonly Option[]
  readonly pathOf?: (options: SteerOptions) => string
  readonly bodyOf?: (options: SteerOptions) => object
}
type SteerOptions = Steering & { readonly full?: boolean; readonly approver?: string; readonly to?: string }

const commands: readonly Steer[] = [
  { name: 'submit', does: 'ask for approval of a draft' },
  { name: 'approve', does: 'approve it: before its start, or where a step waits for it' },
  { name: 'reject', does: 'end it before its start' },
  { name: 'pause', does: 'hold it where it is' },
  { name: 'resume', does: 'go on after a pause' },
  {
    name: 'promote',
    does: 'go past the rest of a step; with --full to all of traffic at once',
    options: [
      new Option('--full', 'all of traffic at once, past steps, pauses and gates; needs the scope and another person'),
      new Option('--approver <name>', 'of --full: who else says so'),
    ],
    pathOf: ({ full }) => (full === true ? 'promote-full' : 'promote'),
    bodyOf: ({ full, approver }) => (full === true && approver !== undefined ? { approver } : {}),
  },
  { name: 'abort', does: 'take the canary out of traffic at once; it is over for good' },
  { name: 'retry', does: 'make another rollout with the same plan after one that failed' },
  {
    name: 'rollback',
    does: 'go back to the version before, or to another of the last three',
    options: [new Option('--to <version>', 'the version to go back to')],
    bodyOf: ({ to }) => (to === undefined ? {} : { to }),
  },
]

function addCommand(rollout: Command, bind: Bind, each: Steer): void {
  const command = rollout
    .command(`${each.name} <rollout>`)
    .description(each.does)
    .addOption(reasonOption().makeOptionMandatory())
    .addOption(generationOption())
    .option('--dry-run', 'show what would be, and do nothing')
    .addHelpText('after', `\nExample:\n  $ isochrone rollout ${each.name} r-7mkq0t2r --reason "…"`)
  for (const option of each.options ?? []) command.addOption(option)
  bind(command, (context, [id = ''], options: SteerOptions) => {
    if (options.approver !== undefined && options.full !== true) throw usageStop('--approver goes with --full.')
    const body = { reason: reasonOf(options), ...each.bodyOf?.(options) }
    return steer(context, id, { path: each.pathOf?.(options) ?? each.name, body, options })
  })
}

type Said = { readonly path: string; readonly body: object; readonly options: Steering }

async function steer(context: Context, id: string, { path, body, options }: Said): Promise<ExitCode> {
  const answer = await context.core.post(['rollouts', id, path], body, {
    query: { dry_run: options.dryRun === true ? true : undefined },
    ifMatch: options.ifGeneration === undefined ? undefined : `"${options.ifGeneration}"`,
  })
  return showRollout(context, answer.body)
}

function reasonOf({ reason }: Steering): string {
  if (reason === undefined || reason.trim() === '') throw usageStop('--reason must be given, and not be empty.')
  return reason
}
