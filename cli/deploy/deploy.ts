// `npm run deploy`: migrations, then core, then edge. `-- --dry-run` builds both Workers and touches nothing.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { home, root } from '../local/places.ts'
import { Stop } from '../local/stop.ts'
import { deploy, dryRun, type Surroundings } from './steps.ts'
import { endWrangler, wrangler } from './wrangler.ts'

const folder = resolve(home, 'deploy')

const at: Surroundings = {
  wrangler,
  env: process.env,
  toml: {
    root,
    edge: readFileSync(resolve(root, 'wrangler.toml'), 'utf8'),
    core: readFileSync(resolve(root, 'core/wrangler.toml'), 'utf8'),
  },
  write: (name, text) => {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const path = resolve(folder, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  },
  say: (line) => console.log(line),
}

/** The folder holds a secret: it goes, however this ends. wrangler is in our process group and hears a Ctrl-C itself. */
const forget = (): void => rmSync(folder, { recursive: true, force: true })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    forget()
    endWrangler(signal)
    process.exit(1)
  })
}

try {
  const { values } = parseArgs({ options: { 'dry-run': { type: 'boolean' } } })
  await (values['dry-run'] ? dryRun(at) : deploy(at))
} catch (cause) {
  const isUsage = cause instanceof TypeError && 'code' in cause
  console.error(cause instanceof Stop || isUsage ? `npm run deploy: ${cause.message}` : cause)
  process.exitCode = cause instanceof Stop ? cause.exitCode : isUsage ? 2 : 1
} finally {
  forget()
}
