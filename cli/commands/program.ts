// The command line as a whole: the commands, what they have in common, and what becomes of an error. Nothing here decides what a command does.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Command, CommanderError } from 'commander'
import { coreAddress } from '../api/connection.ts'
import { coreClient } from '../api/core-client.ts'
import { exitCodes, type ExitCode } from '../api/exit.ts'
import { Refused } from '../api/problem.ts'
import type { World } from '../api/world.ts'
import { Stop } from '../local/stop.ts'
import { edgeOf, type CommonOptions, type Context } from './context.ts'
import { addEval } from './evaluate.ts'
import { addLoad } from './load.ts'
import { addRollout } from './rollout.ts'
import { addVersion } from './version.ts'

/** What a command does with its arguments and options; its value is how the program ends. */
export type Act<Options> = (context: Context, args: readonly string[], options: Options) => Promise<ExitCode>

/** Gives a command what it does. */
export type Bind = <Options>(command: Command, act: Act<Options>) => Command

/** Runs one command line (without the names of node and script) and gives its exit code. Never throws but for a bug. */
export async function run(argv: readonly string[], world: World): Promise<number> {
  let exitCode: number = exitCodes.ok
  const bind: Bind = (command, act) =>
    command.action(async () => {
      const options: Parameters<typeof act>[2] & CommonOptions = command.optsWithGlobals()
      exitCode = await act(contextOf(options, world), command.args, options)
    })
  try {
    await programOf(bind, world, argv.includes('--json')).parseAsync([...argv], { from: 'user' })
    return exitCode
  } catch (cause) {
    return tell(cause, argv.includes('--json'), world)
  }
}

function contextOf(options: CommonOptions, world: World): Context {
  return {
    world,
    core: coreClient(coreAddress(options, world), world),
    edge: edgeOf(options, world),
    isJson: options.json === true,
  }
}

const footer = `
Without --core-url and --token a command speaks to the local platform that runs in this folder or one above it (npm start).
Exit codes: 0 ok, 1 error, 2 usage, 3 aborted or failed, 4 wait timed out, 5 conflict.

Example:
  $ isochrone rollout start --env staging --model atlas --to atlas-2.q4_0 --reason "half the memory"
  $ isochrone rollout status <id> --wait --timeout 2h`

function programOf(bind: Bind, world: World, isJson: boolean): Command {
  const program = new Command('isochrone')
  program
    .description('New model versions: register, evaluate, approve, roll out, and know why.')
    .version(ownVersion(), '--version', 'print the version of this program')
    .option('--json', 'print one JSON document, and errors as JSON on stderr')
    .option('--core-url <url>', 'address of the admin API (ISOCHRONE_CORE_URL)')
    .option('--token <token>', "the operator's token (ISOCHRONE_OPERATOR_TOKEN)")
    .option('--actor <name>', 'who you are, for the audit log and for four eyes (ISOCHRONE_ACTOR)')
    .addHelpText('after', footer)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void world.out.write(text),
      // With --json the error is told as JSON below, once.
      writeErr: (text) => void (isJson ? null : world.err.write(text)),
    })
    .exitOverride()
    .showSuggestionAfterError()
  addVersion(program, bind)
  addEval(program, bind)
  addLoad(program, bind)
  addRollout(program, bind)
  return program
}

function ownVersion(): string {
  const text = readFileSync(resolve(import.meta.dirname, '../../package.json'), 'utf8')
  return String((JSON.parse(text) as { readonly version?: unknown }).version)
}

/** Says what went wrong, and gives the exit code. What is neither a Stop nor commander's is a bug: it keeps its trace. */
function tell(cause: unknown, isJson: boolean, world: World): number {
  if (cause instanceof CommanderError) {
    // Help that was asked for, and the version, are no errors.
    if (cause.exitCode === 0) return exitCodes.ok
    const detail = cause.code === 'commander.help' ? 'a command is missing' : cause.message.replace(/^error: /, '')
    if (isJson) writeError(world, { code: 'usage', detail }, exitCodes.usage)
    return exitCodes.usage
  }
  if (!(cause instanceof Stop)) throw cause
  if (!isJson) world.err.write(`isochrone: ${cause.message}\n`)
  else if (cause instanceof Refused) writeError(world, cause.problem, cause.exitCode)
  else writeError(world, { code: nameOf(cause.exitCode), detail: cause.message }, cause.exitCode)
  return cause.exitCode
}

const nameOf = (exitCode: number): string => Object.entries(exitCodes).find(([, code]) => code === exitCode)?.[0] ?? 'error'

function writeError(world: World, error: object, exitCode: number): void {
  world.err.write(`${JSON.stringify({ error, exitCode })}\n`)
}
