// What a rollout is to be, as it is typed: the options of plan and start, and the body that core takes.

import { readFileSync } from 'node:fs'
import { Option, type Command } from 'commander'
import { environments } from '../../shared/ids.ts'
import { usageStop } from '../api/exit.ts'
import { gate, reasonOption, step, type TypedGate } from './options.ts'
import { readStepsFile, stepExamples, type TypedStep } from './steps.ts'

export type Making = {
  readonly env?: string
  readonly model?: string
  readonly to?: string
  readonly from?: string
  readonly steps?: string
  readonly step?: readonly TypedStep[]
  readonly gate?: readonly TypedGate[]
  readonly fourEyes?: boolean
  readonly reason?: string
}

/** The options; which of them are needed is said by `bodyOf`, for `start` may be given a rollout instead. */
export function addMaking(command: Command): Command {
  return command
    .addOption(new Option('-e, --env <environment>', 'development, staging or production').choices(environments))
    .option('--model <name>', 'the model')
    .option('--to <version>', 'the version that shall serve')
    .option('--from <version>', 'the version that it replaces, as you know it (whichever is stable)')
    .addOption(new Option('--steps <file>', 'a JSON list of steps').conflicts('step'))
    .option('--step <step>', 'one step; may be repeated, in order', step)
    .option('--gate <gate=mode>', 'what a gate means: observe, pause or abort; may be repeated', gate)
    .option('--four-eyes', 'another person must approve (in production it is so unless said otherwise)')
    .option('--no-four-eyes', 'whoever makes it may approve it')
    .addOption(reasonOption())
    .addHelpText('after', `\nSteps:\n${stepExamples.map((each) => `  --step ${each}`).join('\n')}`)
}

/** The body of POST /rollouts. Throws a usage Stop for what is missing or cannot be read. */
export function bodyOf(options: Making, reason: string, start: boolean): object {
  const { env, model, to, from, gate: gates, fourEyes } = options
  const missing = Object.entries({ '--env': env, '--model': model, '--to': to }).find(([, value]) => value === undefined)
  if (missing) throw usageStop(`${missing[0]} must be given.`)
  const steps = options.steps === undefined ? options.step : stepsOf(options.steps)
  return {
    environment: env,
    model,
    to,
    ...(from === undefined ? {} : { from }),
    ...(steps ? { steps } : {}),
    ...(gates ? { gates } : {}),
    ...(fourEyes === undefined ? {} : { fourEyes }),
    start,
    reason: options.reason ?? reason,
  }
}

function stepsOf(path: string): readonly unknown[] {
  const steps = readStepsFile(textOf(path))
  if (!steps.ok) throw usageStop(`--steps ${path}: ${steps.error}.`)
  return steps.value
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw usageStop(`--steps ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
}
