import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { withIds, withoutLedger } from '../../../cli/deploy/config.ts'
import { deploy, type Surroundings } from '../../../cli/deploy/steps.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const toml = {
  root: '/r',
  edge: readFileSync(path.join(root, 'wrangler.toml'), 'utf8'),
  core: readFileSync(path.join(root, 'core/wrangler.toml'), 'utf8'),
}

describe('the deployed toml', () => {
  it('has the ids, absolute paths, and is otherwise the committed one', () => {
    const core = withIds(toml.core, '/r/core', { databaseId: 'db-1', namespaceId: 'kv-1' })
    expect(core).toContain('database_name = "isochrone"\ndatabase_id = "db-1"')
    expect(core).toContain('binding = "STATE"\nid = "kv-1"')
    expect(core).toContain('main = "/r/core/worker.ts"')
    expect(core).toContain('migrations_dir = "/r/core/../migrations"')
    const edge = withIds(toml.edge, '/r', { databaseId: 'db-1', namespaceId: 'kv-1' })
    expect(edge).toContain('binding = "STATE"\nid = "kv-1"')
    expect(edge).not.toContain('db-1')
  })

  it('the committed files hold no id', () => {
    expect(toml.core + toml.edge).not.toMatch(/^(database_)?id = /m)
  })

  it('without the ledger keeps every other binding', () => {
    const cut = withoutLedger(toml.core)
    expect(cut).not.toContain('LEDGER')
    expect(cut).not.toContain('isochrone-edge')
    for (const kept of ['CONTROLLER', 'new_sqlite_classes = ["Controller"]', 'binding = "DB"', 'binding = "STATE"'])
      expect(cut).toContain(kept)
  })
})

/** An account as wrangler shows it: what exists, and what was done, in order. */
function account(so: {
  readonly workers?: string[]
  /** Per Worker. */
  readonly secrets?: Readonly<Record<string, readonly string[]>>
  readonly databases?: string[]
  readonly namespaces?: string[]
  readonly fail?: string
}) {
  const workers = new Set(so.workers)
  const databases = new Set(so.databases)
  const namespaces = new Set(so.namespaces)
  const done: string[] = []
  const written = new Map<string, string>()
  const answer = (stdout = '', code = 0) => Promise.resolve({ code, stdout, stderr: '' })
  const wrangler: Surroundings['wrangler'] = (args) => {
    const line = args.join(' ')
    if (so.fail && line.includes(so.fail)) return answer('', 1)
    if (line === 'whoami') return answer('You are not authenticated. Please run `wrangler login`.')
    if (line.startsWith('secret list')) return answer(JSON.stringify((so.secrets?.[args[3] ?? ''] ?? []).map((name) => ({ name }))))
    if (line.startsWith('deployments list'))
      return workers.has(args[3] ?? '') ? answer('[]') : answer('This Worker does not exist on your account. [code: 10007]', 1)
    if (line === 'd1 list --json') return answer(JSON.stringify([...databases].map((name) => ({ name, uuid: `uuid-of-${name}` }))))
    if (line === 'kv namespace list')
      return answer(`notice\n${JSON.stringify([...namespaces].map((title) => ({ title, id: `id-of-${title}` })))}`)
    done.push(line)
    if (line.startsWith('d1 create')) databases.add(args[2] ?? '')
    if (line.startsWith('kv namespace create')) namespaces.add(args[3] ?? '')
    return answer()
  }
  const at = (env: Record<string, string>): Surroundings => ({
    wrangler,
    env,
    toml,
    write: (name, text) => {
      written.set(name, text)
      return name
    },
    say: () => undefined,
  })
  return { at, done, written }
}

const env = { CLOUDFLARE_API_TOKEN: 't', OPERATOR_TOKEN: 'x'.repeat(32), CREDENTIAL_KEY: 'y'.repeat(44) }
const everything = {
  workers: ['isochrone-core', 'isochrone-edge'],
  databases: ['isochrone'],
  namespaces: ['isochrone-state'],
  secrets: { 'isochrone-core': ['OPERATOR_TOKEN', 'CREDENTIAL_KEY'], 'isochrone-edge': ['CREDENTIAL_KEY'] },
}

describe('deploy', () => {
  it('the first time: resources, migrations, core without the edge, edge, core with the edge', async () => {
    const { at, done, written } = account({})
    await deploy(at(env))
    expect(done).toEqual([
      'd1 create isochrone',
      'kv namespace create isochrone-state',
      'd1 migrations apply isochrone --remote --config core.toml',
      'deploy --config core-first.toml --secrets-file core-secrets.json',
      'deploy --config edge.toml --secrets-file edge-secrets.json',
      'deploy --config core.toml',
    ])
    expect(written.get('core-first.toml')).not.toContain('LEDGER')
    expect(JSON.parse(written.get('core-secrets.json') ?? '')).toEqual({
      OPERATOR_TOKEN: env.OPERATOR_TOKEN,
      CREDENTIAL_KEY: env.CREDENTIAL_KEY,
    })
    expect(JSON.parse(written.get('edge-secrets.json') ?? '')).toEqual({ CREDENTIAL_KEY: env.CREDENTIAL_KEY })
    expect(written.get('core.toml')).toContain('uuid-of-isochrone')
    expect(written.get('edge.toml')).toContain('id-of-isochrone-state')
  })

  it('later: migrations, core, edge; the secrets stay as they are unless new ones are given', async () => {
    const { at, done } = account(everything)
    await deploy(at({ CLOUDFLARE_API_TOKEN: 't' }))
    expect(done).toEqual([
      'd1 migrations apply isochrone --remote --config core.toml',
      'deploy --config core.toml',
      'deploy --config edge.toml',
    ])
  })

  it('names all that is missing, and does nothing', async () => {
    const { at, done } = account({})
    const failed = deploy(at({}))
    await expect(failed).rejects.toThrow(/CLOUDFLARE_API_TOKEN[\s\S]*OPERATOR_TOKEN[\s\S]*CREDENTIAL_KEY/)
    expect(done).toEqual([])
  })

  it('refuses an operator token that can be guessed', async () => {
    const { at, done } = account(everything)
    await expect(deploy(at({ ...env, OPERATOR_TOKEN: 'secret' }))).rejects.toThrow(/at least 24 characters/)
    expect(done).toEqual([])
  })

  it('refuses a credential key that can be guessed', async () => {
    const { at, done } = account(everything)
    await expect(deploy(at({ ...env, CREDENTIAL_KEY: 'y'.repeat(31) }))).rejects.toThrow(/CREDENTIAL_KEY of at least 32 characters/)
    expect(done).toEqual([])
  })

  it('a deployment from before the credential key is told to give one; one that only core has, that the edge lacks it', async () => {
    const before = account({ ...everything, secrets: { 'isochrone-core': ['OPERATOR_TOKEN'] } })
    await expect(deploy(before.at({ CLOUDFLARE_API_TOKEN: 't' }))).rejects.toThrow(/missing:\n {2}- CREDENTIAL_KEY/)
    const half = account({ ...everything, secrets: { 'isochrone-core': ['OPERATOR_TOKEN', 'CREDENTIAL_KEY'] } })
    await expect(deploy(half.at({ CLOUDFLARE_API_TOKEN: 't' }))).rejects.toThrow(/CREDENTIAL_KEY.*isochrone-edge does not have it yet/)
    expect([...before.done, ...half.done]).toEqual([])
  })

  it('stops at the step that fails and says which', async () => {
    const { at, done } = account({ ...everything, fail: 'migrations apply' })
    await expect(deploy(at(env))).rejects.toThrow(/"migrations" failed/)
    expect(done).toEqual([])
  })
})
