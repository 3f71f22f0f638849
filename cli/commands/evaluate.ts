// `isochrone eval`: measures a version on a set through the public API, keeps the report, and lays it beside another.

import { readFileSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import type { Command } from 'commander'
import * as v from 'valibot'
import { limits } from '../../shared/limits.ts'
import { readApiKey, type Environment } from '../../shared/ids.ts'
import type { Report } from '../../shared/wire/report.ts'
import type { EdgeAddress } from '../api/connection.ts'
import { exitCodes, usageStop, type ExitCode } from '../api/exit.ts'
import { Refused } from '../api/problem.ts'
import { comparisonSchema, read, reportRowSchema, versionSchema, type Comparison, type ReportRow, type VersionRow } from '../api/shapes.ts'
import type { EvalRow } from '../engine/score.ts'
import { evaluate, type Evaluated, type Sampling } from '../eval/evaluate.ts'
import { keepOverride } from '../eval/override.ts'
import { findReport } from '../eval/references.ts'
import { reportOf, scoresOf, sha256 } from '../eval/report.ts'
import { readSet } from '../eval/set.ts'
import { Stop } from '../local/stop.ts'
import { show, type Context } from './context.ts'
import { comparisonText, evaluatedText } from './evaluate-text.ts'
import { environmentOption, target, wholeFrom, type WithEnvironment } from './options.ts'
import type { Bind } from './program.ts'
import { startBar } from './bar.ts'
import { reportTable } from './version-text.ts'

const rowsMax = 200

export function addEval(program: Command, bind: Bind): void {
  const evaluation = program.command('eval').description('measure a version on an evaluation set, and compare what was measured')
  addRun(evaluation, bind)
  const compare = evaluation
    .command('compare <report> <reference>')
    .description('whether one keeps its share of the score of the other; each an id or its beginning, or a version (its newest report)')
    .option('--target <share>', 'share of the score to keep, such as 0.99 or 0.999 (the one of the model)', target)
    .addHelpText('after', '\nExample:\n  $ isochrone eval compare atlas-2.q4_0 atlas-2.f16 --target 0.999')
  bind(compare, comparing)
  const list = evaluation
    .command('list [version]')
    .description('reports, newest first; of one version or of all')
    .addHelpText('after', '\nExample:\n  $ isochrone eval list atlas-2.q4_0')
  bind(list, listing)
}

type Run = WithEnvironment & {
  readonly set: string
  readonly setName?: string
  readonly concurrency: number
  readonly limit?: number
  readonly tokensMax: number
  readonly seed: number
  readonly reference?: string
  readonly target?: number
  readonly save?: string
  readonly keepIncomplete?: boolean
  readonly progress?: boolean
}

function addRun(evaluation: Command, bind: Bind): void {
  const command = evaluation
    .command('run <version>', { isDefault: true })
    .description('ask every item of a set, score the answers, keep the report (the word "run" may be left out)')
    .addOption(environmentOption())
    .requiredOption('--set <file>', 'the set: one JSON object a line with id, prompt, expected and match')
    .option('--set-name <name>', 'what it is called in the report (its file name)')
    .option('--edge-url <url>', 'address of the public API (ISOCHRONE_EDGE_URL)')
    .option('--api-key <key>', 'a key of that environment (ISOCHRONE_API_KEY)')
    .option('--concurrency <number>', 'items that are asked at the same time; more than one may tip close decisions', wholeFrom(1, 64), 1)
    .option('--limit <number>', 'ask the first ones only; such a report is shown and not kept', wholeFrom(1, limits.reportItemsMax))
    .option('--tokens-max <number>', 'longest answer', wholeFrom(1, limits.reportTokensMax), 96)
    .option('--seed <number>', 'of the sampling', wholeFrom(0, 2 ** 32 - 1), 1)
    .option('--reference <report>', 'compare with this report, or the newest of this version over the same set; 3 when it fails')
    .option('--target <share>', 'share of the score to keep, such as 0.99 (the one of the model)', target)
    .option('--save <file>', 'write the report to this file')
    .option('--keep-incomplete', 'keep a report in which items are missing')
    .option('--progress', 'show the bar where there is no terminal')
    .addHelpText(
      'after',
      '\nExample:\n  $ isochrone eval atlas-2.q4_0 --env development --set cli/engine/atlas/eval-heldout.jsonl --reference atlas-2.f16',
    )
  bind(command, running)
}

type Items = { readonly rows: readonly EvalRow[]; readonly set: Report['set'] }

async function running(context: Context, [id = '']: readonly string[], options: Run): Promise<ExitCode> {
  const { core, world } = context
  const { rows, set } = itemsOf(options)
  const edge = edgeFor(options.env, context)
  const version = read(versionSchema, (await core.get(['versions', id])).body, 'version')
  // Found first: whoever named a reference that is not there need not wait for an hour to hear of it.
  const reference = options.reference === undefined ? null : await findReport(core, options.reference, set.digest)
  const sampling = { temperature: 0, topP: 1, tokensMax: options.tokensMax, seed: options.seed }
  const startedAtMs = world.clock.nowMs()
  const evaluated = await withBar(context, { rows, version, edge, sampling, options })
  const { report, text } = reportOf({ version, set, sampling, evaluated, startedAtMs, endedAtMs: world.clock.nowMs() })
  if (options.save !== undefined) save(options.save, text)

  const isWhole = evaluated.results.length === set.items
  const stored = isWhole || options.keepIncomplete === true ? await store(context, text, options.env) : null
  const compared = isWhole && stored && reference ? await tryCompare(context, stored.id, reference.id, options.target) : null
  const comparison = compared instanceof Refused ? null : compared
  const told = { version: version.id, report, scores: scoresOf(report), stored, failed: evaluated.failed, reference, comparison }
  show(context, { ...told, report: undefined, set, answered: report.results.length }, evaluatedText(told))
  if (compared instanceof Refused) throw compared
  if (evaluated.failed.length > 0) return exitCodes.error
  return comparison ? exitCodeOf(comparison) : exitCodes.ok
}

/** The set's items, the first ones where only those are wanted. Throws a usage Stop for a file that is no set. */
function itemsOf({ set: path, setName, limit }: Run): Items {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (cause) {
    throw usageStop(`--set ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
  const rows = readSet(bytes.toString('utf8'))
  if (!rows.ok) throw usageStop(`--set ${path}: ${rows.error}.`)
  const set = { name: setName ?? basename(path), digest: sha256(bytes), items: rows.value.length }
  return { rows: rows.value.slice(0, limit), set }
}

/** A key of another environment would ask other aliases, and the override would be refused for every item. */
function edgeFor(environment: Environment, { edge }: Context): EdgeAddress {
  const address = edge()
  const key = readApiKey(address.apiKey)
  if (key && key.environment !== environment) throw usageStop(`the API key is of ${key.environment}, and --env says ${environment}.`)
  return address
}

type Measuring = {
  readonly rows: readonly EvalRow[]
  readonly version: VersionRow
  readonly edge: EdgeAddress
  readonly sampling: Sampling
  readonly options: Run
}

async function withBar(context: Context, { rows, version, edge, sampling, options }: Measuring): Promise<Evaluated> {
  const { core, world, isJson } = context
  const bar = startBar(world.err, rows.length, !isJson && (world.err.isTTY === true || options.progress === true))
  const overrides = keepOverride({ version: version.id, environment: options.env }, core, world)
  const asking = { edge, model: version.model, version: version.id, sampling, overrides, concurrency: options.concurrency }
  try {
    return await evaluate(rows, asking, world, bar.done)
  } finally {
    bar.stop()
  }
}

function save(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch (cause) {
    throw new Stop(`--save ${path} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
}

async function store({ core }: Context, text: string, environment: Environment): Promise<ReportRow> {
  return read(reportRowSchema, (await core.postAgain(['reports'], text, { query: { environment } })).body, 'report')
}

async function compare({ core }: Context, id: string, reference: string, targetBp: number | undefined): Promise<Comparison> {
  return read(comparisonSchema, (await core.get(['reports', id, 'compare'], { reference, targetBp })).body, 'comparison')
}

/** A refusal is a value here: what was measured is shown all the same. */
const tryCompare = (...given: Parameters<typeof compare>): Promise<Comparison | Refused> =>
  compare(...given).catch((cause: unknown) => {
    if (cause instanceof Refused) return cause
    throw cause
  })

/** Only a pass is a pass. */
const exitCodeOf = ({ answer }: Comparison): ExitCode => (answer === 'pass' ? exitCodes.ok : exitCodes.ended)

async function comparing(context: Context, [one = '', other = '']: readonly string[], options: { target?: number }): Promise<ExitCode> {
  const measured = await findReport(context.core, one, null)
  const reference = await findReport(context.core, other, measured.setDigest)
  const comparison = await compare(context, measured.id, reference.id, options.target)
  show(context, { ...comparison, measured, reference }, comparisonText(measured, reference, comparison))
  return exitCodeOf(comparison)
}

async function listing(context: Context, [version]: readonly string[]): Promise<ExitCode> {
  const { core, world } = context
  const rows = read(v.array(reportRowSchema), await core.list(['reports'], { version }, rowsMax), 'list of reports')
  show(context, rows, reportTable(rows, world.clock.nowMs()))
  return exitCodes.ok
}
