// The deployment, step by step: what is missing is named first, then database, migrations, core, edge.
// Every step can be repeated: a deployment that broke off is simply run again.

import { sealSecretCharsMin } from '../../shared/sealed.ts'
import { Stop } from '../local/stop.ts'
import { withIds, withoutLedger, type Ids } from './config.ts'
import type { Wrangler } from './wrangler.ts'

export const names = { core: 'isochrone-core', edge: 'isochrone-edge', database: 'isochrone', namespace: 'isochrone-state' } as const

type Worker = 'core' | 'edge'

/** A secret of the deployment: which Workers hold it, how short it may be (shorter ones can be guessed), and what it is for. */
type Secret = { readonly name: string; readonly holders: readonly Worker[]; readonly charsMin: number; readonly purpose: string }

const secrets: readonly Secret[] = [
  { name: 'OPERATOR_TOKEN', holders: ['core'], charsMin: 24, purpose: 'guards the admin API' },
  // Both need the same one: core seals with it, the edge opens.
  { name: 'CREDENTIAL_KEY', holders: ['core', 'edge'], charsMin: sealSecretCharsMin, purpose: 'seals the credentials of endpoints' },
]

export type Surroundings = {
  readonly wrangler: Wrangler
  readonly env: Readonly<Record<string, string | undefined>>
  /** The committed files. */
  readonly toml: { readonly edge: string; readonly core: string; readonly root: string }
  /** Writes a file for wrangler to read and returns its path; removed again by the caller. */
  readonly write: (name: string, text: string) => string
  readonly say: (line: string) => void
}

/** Deploys both Workers. Throws Stop naming all that is missing, or the step that failed. */
export async function deploy(at: Surroundings): Promise<void> {
  const uploads = await requireSecrets(at)
  const ids = await ensureResources(at)
  const core = withIds(at.toml.core, `${at.toml.root}/core`, ids)
  const corePath = at.write('core.toml', core)
  const edgePath = at.write('edge.toml', withIds(at.toml.edge, at.toml.root, ids))

  await run(at, 'migrations', ['d1', 'migrations', 'apply', names.database, '--remote', '--config', corePath])
  const isFirst = !(await exists(at, names.edge))
  if (isFirst)
    await run(
      at,
      'core, without the edge that is not there yet',
      deployArgs(at.write('core-first.toml', withoutLedger(core)), uploads.core),
    )
  else await run(at, 'core', deployArgs(corePath, uploads.core))
  await run(at, 'edge', deployArgs(edgePath, uploads.edge))
  if (isFirst) await run(at, 'core, with the edge', deployArgs(corePath, null))
  at.say('Deployed. The admin API is at the address of isochrone-core, the public API at that of isochrone-edge.')
}

/** Builds both Workers as they would be deployed, without an account. */
export async function dryRun(at: Surroundings): Promise<void> {
  for (const [name, config] of [
    ['core', 'core/wrangler.toml'],
    ['edge', 'wrangler.toml'],
  ] as const) {
    const said = await at.wrangler(['deploy', '--dry-run', '--config', config])
    if (said.code !== 0) throw new Stop(`${name} does not build:\n${said.stderr || said.stdout}`)
    at.say(`${name} builds: ${/Total Upload: .*/.exec(said.stdout)?.[0] ?? 'size unknown'}`)
  }
  at.say('A real deployment would now bring the database up to date, then deploy core, then edge.')
  at.say(
    `It needs CLOUDFLARE_API_TOKEN (or wrangler login), and the first time ${secrets.map(({ name, charsMin }) => `${name} (${charsMin} characters or more)`).join(' and ')}.`,
  )
}

const deployArgs = (config: string, secretsFile: string | null): readonly string[] =>
  secretsFile ? ['deploy', '--config', config, '--secrets-file', secretsFile] : ['deploy', '--config', config]

async function run(at: Surroundings, what: string, args: readonly string[]): Promise<void> {
  at.say(`→ ${what}`)
  const said = await at.wrangler(args, true)
  if (said.code !== 0) throw new Stop(`the step "${what}" failed; what was done before it stays. Mend the cause and run it again.`)
}

/** Paths of the secrets to upload with each Worker; null where there is nothing to upload. Throws Stop with every name that is missing. */
async function requireSecrets(at: Surroundings): Promise<Readonly<Record<Worker, string | null>>> {
  const missing: string[] = []
  const known = await isLoggedIn(at)
  if (!known) missing.push('CLOUDFLARE_API_TOKEN (or log in: npx wrangler login)')
  for (const secret of secrets) {
    const fault = await faultOf(at, secret, known)
    if (fault) missing.push(fault)
  }
  if (missing.length > 0) throw new Stop(`missing:\n  - ${missing.join('\n  - ')}`)
  return { core: writeSecrets(at, 'core'), edge: writeSecrets(at, 'edge') }
}

/** What is wrong with a secret; null when it was given, or when all its holders have it. */
async function faultOf(at: Surroundings, { name, holders, charsMin, purpose }: Secret, known: boolean): Promise<string | null> {
  const given = at.env[name] ?? ''
  if (given !== '') return given.length < charsMin ? `${name} of at least ${charsMin} characters (this one is shorter)` : null
  const lacking: Worker[] = []
  for (const holder of holders) if (!(known && (await hasSecret(at, holder, name)))) lacking.push(holder)
  if (lacking.length === 0) return null
  // One that has it cannot be asked for it: the same value must be given again, or a new one to all.
  const some = lacking.length < holders.length ? `; ${lacking.map((worker) => names[worker]).join(', ')} does not have it yet` : ''
  return `${name} (the secret that ${purpose}; for instance: openssl rand -base64 32${some})`
}

/** The secrets given that a Worker holds. A deployment adds to those it has: what is not given stays. */
function writeSecrets(at: Surroundings, worker: Worker): string | null {
  const given = secrets.filter(({ name, holders }) => holders.includes(worker) && (at.env[name] ?? '') !== '')
  if (given.length === 0) return null
  return at.write(`${worker}-secrets.json`, JSON.stringify(Object.fromEntries(given.map(({ name }) => [name, at.env[name]]))))
}

async function isLoggedIn(at: Surroundings): Promise<boolean> {
  if (at.env['CLOUDFLARE_API_TOKEN']) return true
  const said = await at.wrangler(['whoami'])
  return said.code === 0 && !/not authenticated/i.test(said.stdout + said.stderr)
}

async function hasSecret(at: Surroundings, worker: Worker, name: string): Promise<boolean> {
  const said = await at.wrangler(['secret', 'list', '--name', names[worker], '--format', 'json'])
  return said.code === 0 && rowsOf(said.stdout).some((row) => row['name'] === name)
}

/** Any other failure than "there is none" stops the deployment: taken for a first one, it would take core's ledgers away for a while. */
async function exists(at: Surroundings, worker: string): Promise<boolean> {
  const said = await at.wrangler(['deployments', 'list', '--name', worker, '--json'])
  if (said.code === 0) return true
  if (/10007|does not exist|not found/i.test(said.stdout + said.stderr)) return false
  throw new Stop(`whether ${worker} is there could not be looked up: ${(said.stderr || said.stdout).trim().slice(0, 500)}`)
}

async function ensureResources(at: Surroundings): Promise<Ids> {
  const databaseId = await ensure(at, {
    what: 'database',
    list: ['d1', 'list', '--json'],
    idOf: (row) => (row['name'] === names.database ? row['uuid'] : null),
    create: ['d1', 'create', names.database],
  })
  const namespaceId = await ensure(at, {
    what: 'key-value namespace',
    list: ['kv', 'namespace', 'list'],
    idOf: (row) => (row['title'] === names.namespace ? row['id'] : null),
    create: ['kv', 'namespace', 'create', names.namespace],
  })
  return { databaseId, namespaceId }
}

type Resource = {
  readonly what: string
  readonly list: readonly string[]
  readonly idOf: (row: Record<string, unknown>) => unknown
  readonly create: readonly string[]
}

async function ensure(at: Surroundings, resource: Resource): Promise<string> {
  const find = async (): Promise<string | null> => {
    const said = await at.wrangler(resource.list)
    if (said.code !== 0) throw new Stop(`the ${resource.what} could not be looked up: ${(said.stderr || said.stdout).trim().slice(0, 500)}`)
    const id = rowsOf(said.stdout)
      .map(resource.idOf)
      .find((each) => typeof each === 'string')
    return typeof id === 'string' ? id : null
  }
  const found = await find()
  if (found) return found
  await run(at, `${resource.what}, which is not there yet`, resource.create)
  const created = await find()
  if (!created) throw new Stop(`the ${resource.what} was created but is not listed yet. Run it again.`)
  return created
}

/** wrangler's JSON lists, also when it prints a notice before them. */
function rowsOf(stdout: string): readonly Record<string, unknown>[] {
  try {
    const rows: unknown = JSON.parse(stdout.slice(Math.max(0, stdout.indexOf('['))))
    return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : []
  } catch {
    return []
  }
}
