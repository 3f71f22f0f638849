// `isochrone load`: a short run at the operating point that the model declares, kept for the load gate.

import type { Command } from 'commander'
import * as v from 'valibot'
import { limits } from '../../shared/limits.ts'
import { readApiKey } from '../../shared/ids.ts'
import { loadRunFormat, readLoadRun, type LoadRunReport } from '../../shared/wire/load-run.ts'
import { exitCodes, usageStop, type ExitCode } from '../api/exit.ts'
import { modelSchema, read, versionSchema } from '../api/shapes.ts'
import { offer, type LoadSample } from '../eval/load.ts'
import { keepOverride } from '../eval/override.ts'
import { sha256 } from '../eval/report.ts'
import { plannedOf, traceText, type Trace } from '../eval/trace.ts'
import { Stop } from '../local/stop.ts'
import { spokenMs, spokenNumber } from './amounts.ts'
import { note, show, type Context } from './context.ts'
import { above0, environmentOption, seconds, wholeFrom, type WithEnvironment } from './options.ts'
import type { Bind } from './program.ts'
import { fields } from './table.ts'

type Options = WithEnvironment & {
  readonly rate?: number
  readonly duration?: number
  readonly seed: number
  readonly tokensMax: number
  readonly underWayMax: number
}

export function addLoad(program: Command, bind: Bind): void {
  const command = program
    .command('load <version>')
    .description('offer a version the load that its model declares, and keep what came of it for the load gate')
    .addOption(environmentOption())
    .option('--rate <number>', 'requests per second (the operating point of the model)', above0(1_000))
    .option('--duration <duration>', 'how long, such as 60s or 5m (a minute, or what 220 requests take)', seconds)
    .option('--seed <number>', 'of arrivals and prompts; the same in every environment that is compared', wholeFrom(0, 2 ** 32 - 1), 1)
    .option('--tokens-max <number>', 'longest answer', wholeFrom(2, limits.reportTokensMax), 96)
    .option('--under-way-max <number>', 'requests under way at most; beyond it they count as failed', wholeFrom(1, 2_000), 500)
    .option('--edge-url <url>', 'address of the public API (ISOCHRONE_EDGE_URL)')
    .option('--api-key <key>', 'a key of that environment (ISOCHRONE_API_KEY)')
    .addHelpText('after', '\nExample:\n  $ isochrone load atlas-2.q4_0 --env staging --rate 4 --duration 60s')
  bind(command, load)
}

/** The load gate needs limits.loadRequestsMin of them; some may be cut short. */
const requestsWanted = limits.loadRequestsMin * 1.1
const durationMsMin = 60_000
const durationMsMax = 3_600_000

async function load(context: Context, [id = '']: readonly string[], options: Options): Promise<ExitCode> {
  const { core, world } = context
  const edge = context.edge()
  const key = readApiKey(edge.apiKey)
  if (key && key.environment !== options.env) throw usageStop(`the API key is of ${key.environment}, and --env says ${options.env}.`)
  const version = read(versionSchema, (await core.get(['versions', id])).body, 'version')
  const model = read(modelSchema, (await core.get(['models', version.model])).body, 'model')
  const trace = traceOf(options, model.operatingPerS)
  const planned = plannedOf(trace)
  if (planned.length > limits.loadSamplesMax) {
    throw usageStop(`${planned.length} requests are more than a run may hold (${limits.loadSamplesMax}): give a shorter --duration.`)
  }
  note(context, `${planned.length} requests in ${spokenMs(trace.durationMs)}`)
  const overrides = keepOverride({ version: id, environment: options.env }, core, world)
  const { seed, tokensMax, underWayMax } = options
  const offering = { edge, model: version.model, version: id, tokensMax, seed, overrides, underWayMax }
  const samples = await offer(planned, offering, world, () => undefined)
  const run: LoadRunReport = {
    format: loadRunFormat,
    versionDigest: version.digest,
    environment: options.env,
    traceDigest: sha256(traceText(planned, trace)),
    requestsPerS: trace.requestsPerS,
    durationMs: trace.durationMs,
    samples,
  }
  const row = await store(context, run, id)
  show(context, row, runText(run, row.id))
  return exitCodes.ok
}

function traceOf({ rate, duration, seed, tokensMax }: Options, operatingPerS: number | null): Trace {
  const requestsPerS = rate ?? operatingPerS
  if (requestsPerS === null) throw usageStop('the model declares no operating point (operatingPerS): give --rate.')
  const durationMs = duration ?? Math.max(durationMsMin, Math.ceil(requestsWanted / requestsPerS) * 1_000)
  if (durationMs > durationMsMax)
    throw usageStop(`a run of ${spokenMs(durationMs)} is longer than an hour: give a higher --rate or a --duration.`)
  return { requestsPerS, durationMs, seed, tokensMax }
}

const rowSchema = v.looseObject({ id: v.string() })

async function store({ core }: Context, run: LoadRunReport, version: string): Promise<{ readonly id: string }> {
  const text = JSON.stringify(run)
  const readable = readLoadRun(text)
  if (!readable.ok) throw new Stop(`the run cannot be written: ${readable.error.field}: ${readable.error.detail}`)
  const { body } = await core.postAgain(['load-runs'], text, { query: { environment: run.environment, version } })
  return read(rowSchema, body, 'load run')
}

function runText({ samples, requestsPerS, durationMs }: LoadRunReport, id: string): string {
  const failedCount = samples.filter(({ outcome }) => outcome === 'failed').length
  return fields([
    ['run', id],
    ['offered', `${requestsPerS} requests a second for ${spokenMs(durationMs)}, ${samples.length} in all`],
    ['failed', String(failedCount)],
    ['TTFT p95', spokenP95(samples, ({ ttftMs }) => ttftMs, Infinity)],
    ['TPOT p95', spokenP95(samples, ({ tpotMs }) => tpotMs, null)],
    [
      'late p99',
      `${spokenNumber(
        quantile(
          samples.map(({ lateMs }) => lateMs),
          0.99,
        ),
      )} ms`,
    ],
  ])
}

/** `failedAs`: what a failed request counts as; null: not at all. */
function spokenP95(samples: readonly LoadSample[], readMs: (sample: LoadSample) => number | null, failedAs: number | null): string {
  const values = samples.flatMap((sample) => {
    const value = sample.outcome === 'failed' ? failedAs : readMs(sample)
    return value === null ? [] : [value]
  })
  const ms = quantile(values, 0.95)
  return ms === null ? '-' : Number.isFinite(ms) ? `${spokenNumber(ms)} ms` : 'more than any: too many failed'
}

/** By nearest rank; null without values. */
function quantile(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null
}
