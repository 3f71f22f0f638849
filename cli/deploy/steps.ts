// The deployment, step by step: what is missing is named first, then database, migrations, core, edge.
// Every step can be repeated: a deployment that broke off is simply run again.

import { Stop } from '../local/stop.ts'
import { withIds, withoutLedger, type Ids } from './config.ts'
import type { Wrangler } from './wrangler.ts'

export const names = { core: 'isochrone-core', edge: 'isochrone-edge', database: 'isochrone', namespace: 'isochrone-state' } as const

/** Shorter ones can be guessed. */
const operatorTokenCharsMin = 24

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
  const secrets = await requireSecrets(at)
  const ids = await ensureResources(at)
  const core = withIds(at.toml.core, `${at.toml.root}/core`, ids)
  const corePath = at.write('core.toml', core)
  const edgePath = at.write('edge.toml', withIds(at.toml.edge, at.toml.root, ids))

  await run(at, 'migrations', ['d1', 'migrations', 'apply', names.database, '--remote', '--config', corePath])
  const isFirst = !(await exists(at, names.edge))
  if (isFirst)
    await run(at, 'core, without the edge that is not there yet', deployArgs(at.write('core-first.toml', withoutLedger(core)), secrets))
  else await run(at, 'core', deployArgs(corePath, secrets))
  await run(at, 'edge', deployArgs(edgePath, null))
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
    `It needs CLOUDFLARE_API_TOKEN (or wrangler login), and OPERATOR_TOKEN (${operatorTokenCharsMin} characters or more) the first time.`,
  )
}

const deployArgs = (config: string, secretsFile: string | null): readonly string[] =>
  secretsFile ? ['deploy', '--config', config, '--secrets-file', secretsFile] : ['deploy', '--config', config]

async function run(at: Surroundings, what: string, args: readonly string[]): Promise<void> {
  at.say(`→ ${what}`)
  const said = await at.wrangler(args, true)
  if (said.code !== 0) throw new Stop(`the step "${what}" failed; what was done before it stays. Mend the cause and run it again.`)
}

/** Path of the secrets to upload with core; null when core has them already. Throws Stop with every name that is missing. */
async function requireSecrets(at: Surroundings): Promise<string | null> {
  const missing: string[] = []
  const known = await isLoggedIn(at)
  if (!known) missing.push('CLOUDFLARE_API_TOKEN (or log in: npx wrangler login)')
  const token = at.env['OPERATOR_TOKEN'] ?? ''
  if (token !== '' && token.length < operatorTokenCharsMin)
    missing.push(`OPERATOR_TOKEN of at least ${operatorTokenCharsMin} characters (this one is shorter)`)
  if (token === '' && !(known && (await hasOperatorToken(at))))
    missing.push('OPERATOR_TOKEN (the secret that guards the admin API; for instance: openssl rand -base64 32)')
  if (missing.length > 0) throw new Stop(`missing:\n  - ${missing.join('\n  - ')}`)
  return token === '' ? null : at.write('secrets.json', JSON.stringify({ OPERATOR_TOKEN: token }))
}

async function isLoggedIn(at: Surroundings): Promise<boolean> {
  if (at.env['CLOUDFLARE_API_TOKEN']) return true
  const said = await at.wrangler(['whoami'])
  return said.code === 0 && !/not authenticated/i.test(said.stdout + said.stderr)
}

async function hasOperatorToken(at: Surroundings): Promise<boolean> {
  const said = await at.wrangler(['secret', 'list', '--name', names.core, '--format', 'json'])
  return said.code === 0 && rowsOf(said.stdout).some((row) => row['name'] === 'OPERATOR_TOKEN')
}

async function exists(at: Surroundings, worker: string): Promise<boolean> {
  return (await at.wrangler(['deployments', 'list', '--name', worker, '--json'])).code === 0
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
