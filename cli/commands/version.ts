// `isochrone version`: the registry. Three separate things: the version, which never changes; who approved it where; and where it exists.

import { createReadStream } from 'node:fs'
import { createHash } from 'node:crypto'
import { Option, type Command } from 'commander'
import * as v from 'valibot'
import { environments, type Environment } from '../../shared/ids.ts'
import { exitCodes, usageStop, type ExitCode } from '../api/exit.ts'
import { approvalSchema, deploymentSchema, overrideSchema, read, reportRowSchema, versionSchema } from '../api/shapes.ts'
import { findReport } from '../eval/references.ts'
import { Stop } from '../local/stop.ts'
import { readTime } from './amounts.ts'
import { show, type Context } from './context.ts'
import { collect, duration, environmentOption, flag, reasonOption, above0, type WithEnvironment } from './options.ts'
import type { Bind } from './program.ts'
import { approvalText, deploymentTable, differenceTable, overrideText, versionTable, versionText } from './version-text.ts'

const rowsMax = 1_000

export function addVersion(program: Command, bind: Bind): void {
  const version = program.command('version').description('versions of models: immutable builds, their approvals and deployments')
  const listed = version
    .command('list')
    .description('all versions')
    .option('--model <name>', 'of this model alone')
    .addHelpText('after', '\nExample:\n  $ isochrone version list --model atlas')
  bind(listed, list)
  const shown = version
    .command('show <version>')
    .description('one version, who approved it, where it exists, what was measured')
    .addHelpText('after', '\nExample:\n  $ isochrone version show atlas-2.q4_0')
  bind(shown, showOne)
  addCreate(version, bind)
  const compared = version
    .command('diff <from> <to>')
    .description('the fields in which two versions of a model differ')
    .addHelpText('after', '\nExample:\n  $ isochrone version diff atlas-2.f16 atlas-2.q4_0')
  bind(compared, diff)
  addApprove(version, bind)
  addDeploy(version, bind, 'deploy')
  addDeploy(version, bind, 'undeploy')
  addOverride(version, bind)
}

async function list(context: Context, _: readonly string[], { model }: { readonly model?: string }): Promise<ExitCode> {
  const all = read(v.array(versionSchema), await context.core.list(['versions'], {}, rowsMax), 'list of versions')
  const rows = all.filter((row) => model === undefined || row.model === model)
  show(context, rows, versionTable(rows, context.world.clock.nowMs()))
  return exitCodes.ok
}

async function showOne(context: Context, [id = '']: readonly string[]): Promise<ExitCode> {
  const { core, world } = context
  const version = read(versionSchema, (await core.get(['versions', id])).body, 'version')
  const [approvals, deployments, reports] = await Promise.all([
    Promise.all(environments.map((environment) => core.find(['approvals', environment, id]))),
    core.list(['deployments'], { version: id }, rowsMax),
    core.list(['reports'], { version: id }, 20),
  ])
  const document = {
    version,
    approvals: approvals.flatMap((each) => (each ? [read(approvalSchema, each.body, 'approval')] : [])),
    deployments: read(v.array(deploymentSchema), deployments, 'list of deployments'),
    reports: read(v.array(reportRowSchema), reports, 'list of reports'),
  }
  show(context, document, versionText(document, world.clock.nowMs()))
  return exitCodes.ok
}

// ---- create ----

type Created = {
  readonly model: string
  readonly digest?: string
  readonly file?: string
  readonly engine: string
  readonly flag?: Readonly<Record<string, string | number | boolean>>
  readonly quantisation?: string
  readonly bits?: number
  readonly parent?: string
  readonly calibration?: string
  readonly licence?: string
  readonly artifact?: string
  readonly reason?: string
}

function addCreate(version: Command, bind: Bind): void {
  const command = version
    .command('create <version>')
    .description('register a version; it can never be changed')
    .requiredOption('--model <name>', 'the model it is a build of')
    .requiredOption('--engine <name>', 'what runs it, such as llama.cpp or vllm')
    .addOption(new Option('--digest <sha256>', 'of its content, as sha256:…').conflicts('file'))
    .option('--file <path>', 'take the digest of this file')
    .option('--flag <name=value>', "one of the engine's settings; may be repeated", flag)
    .option('--quantisation <method>', 'such as FP8, AWQ or Q4_0')
    .option('--bits <number>', 'bits per weight', above0(64))
    .option('--parent <version>', 'what it was made of')
    .option('--calibration <data>', 'what it was calibrated with')
    .option('--licence <licence>', 'an SPDX expression, or a name')
    .option('--artifact <name>', 'what deployers call it')
    .addOption(reasonOption())
    .addHelpText(
      'after',
      '\nExample:\n  $ isochrone version create atlas-2.q4_0 --model atlas --engine llama.cpp --file atlas-2.q4_0.gguf --quantisation Q4_0 --bits 4.5 --parent atlas-2.f16',
    )
  bind(command, create)
}

async function create(context: Context, [id = '']: readonly string[], { flag: flags, file, ...options }: Created): Promise<ExitCode> {
  const digest = file === undefined ? options.digest : await digestOf(file)
  if (digest === undefined) throw usageStop('give --digest, or --file to take it of.')
  const named = ['model', 'engine', 'quantisation', 'bits', 'parent', 'calibration', 'licence', 'artifact'] as const
  const said = Object.fromEntries(named.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])))
  const { body } = await context.core.post(['versions'], { id, digest, ...said, ...(flags ? { flags } : {}) }, { reason: options.reason })
  const row = read(versionSchema, body, 'version')
  show(context, row, `${row.id} is registered: ${row.digest}`)
  return exitCodes.ok
}

/** A file's digest as the registry writes it. Throws Stop when it cannot be read. */
async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  } catch (cause) {
    throw new Stop(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, exitCodes.usage, { cause })
  }
  return `sha256:${hash.digest('hex')}`
}

async function diff(context: Context, [from = '', to = '']: readonly string[]): Promise<ExitCode> {
  const { body } = await context.core.get(['versions', to, 'diff'], { against: from })
  show(context, body, differenceTable(body, from, to))
  return exitCodes.ok
}

// ---- approve ----

type Approved = WithEnvironment & {
  readonly evidence?: readonly string[]
  readonly verdict?: readonly string[]
  readonly note?: string
  readonly expires?: string
  readonly reason?: string
}

function addApprove(version: Command, bind: Bind): void {
  const command = version
    .command('approve <version>')
    .description('say that a version may serve in an environment; again: say so anew')
    .addOption(environmentOption())
    .option('--evidence <report>', 'a report that bears it out, by its id or the beginning of it; may be repeated', collect)
    .option('--verdict <verdict>', 'id of a verdict that bears it out; may be repeated', collect)
    .option('--note <text>', 'the same in words')
    .option('--expires <time>', 'until when: a duration from now such as 30d, or a date')
    .addOption(reasonOption())
    .addHelpText('after', '\nExample:\n  $ isochrone version approve atlas-2.q4_0 --env staging --evidence 7mkq0t2r --expires 90d')
  bind(command, approve)
}

async function approve(context: Context, [version = '']: readonly string[], options: Approved): Promise<ExitCode> {
  const { core, world } = context
  const expiresAtMs = options.expires === undefined ? null : readTime(options.expires, world.clock.nowMs())
  if (options.expires !== undefined && expiresAtMs === null) {
    throw usageStop(`--expires ${options.expires}: must be a duration such as 30d, or a date such as 2026-12-24.`)
  }
  const found = await Promise.all((options.evidence ?? []).map((name) => findReport(core, name, null)))
  const evidence = { note: options.note ?? '', reports: found.map(({ id }) => id), verdicts: options.verdict ?? [] }
  const write = { reason: options.reason }
  const known = await core.find(['approvals', options.env, version])
  const { body } = known
    ? await core.patch(['approvals', options.env, version], { evidence, expiresAtMs }, { ...write, ifMatch: known.etag ?? undefined })
    : await core.post(['approvals'], { environment: options.env, version, evidence, expiresAtMs }, write)
  const row = read(approvalSchema, body, 'approval')
  show(context, row, approvalText(row, world.clock.nowMs()))
  return exitCodes.ok
}

// ---- deploy, undeploy, override ----

function addDeploy(version: Command, bind: Bind, verb: 'deploy' | 'undeploy'): void {
  const what = verb === 'deploy' ? 'make a version exist at targets of its model' : 'take a version away that nothing uses'
  const command = version
    .command(`${verb} <version>`)
    .description(what)
    .option('--target <target>', 'at this target alone; may be repeated (all of the model)', collect)
    .addOption(reasonOption())
    .addHelpText('after', `\nExample:\n  $ isochrone version ${verb} atlas-2.q4_0 --target fra-1`)
  bind(command, (context, [id = ''], options: { readonly target?: readonly string[]; readonly reason?: string }) =>
    deploy(context, { id, verb, targets: options.target, reason: options.reason ?? `isochrone version ${verb}` }),
  )
}

type Deploy = { readonly id: string; readonly verb: string; readonly targets: readonly string[] | undefined; readonly reason: string }

async function deploy(context: Context, { id, verb, targets, reason }: Deploy): Promise<ExitCode> {
  const { body } = await context.core.post(['versions', id, verb], { ...(targets ? { targets } : {}), reason })
  const rows = read(v.array(deploymentSchema), await context.core.list(['deployments'], { version: id }, rowsMax), 'list of deployments')
  show(context, body, rows.length === 0 ? `There is no target for ${id}.` : deploymentTable(rows))
  return exitCodes.ok
}

function addOverride(version: Command, bind: Bind): void {
  const command = version
    .command('override <version>')
    .description('a signed header by which requests are served by this version, whatever the alias says')
    .addOption(environmentOption())
    .option('--for <duration>', 'how long it holds', duration)
    .addHelpText('after', '\nExample:\n  $ curl -H "$(isochrone version override atlas-2.q4_0 --env staging --for 1h)" …')
  bind(command, override)
}

type Overridden = { readonly env: Environment; readonly for?: number }

async function override(context: Context, [id = '']: readonly string[], options: Overridden): Promise<ExitCode> {
  const asked = { environment: options.env, ...(options.for === undefined ? {} : { forMs: options.for }) }
  const row = read(overrideSchema, (await context.core.post(['versions', id, 'override'], asked)).body, 'override')
  show(context, row, overrideText(row))
  return exitCodes.ok
}
