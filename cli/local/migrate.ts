// D1's migrations on the local store, by wrangler itself, so that they run here exactly as they run when deployed.

import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { root, stateOf } from './places.ts'
import { Stop } from './stop.ts'

const run = promisify(execFile)

export async function migrate(): Promise<void> {
  const wrangler = resolve(root, 'node_modules/wrangler/bin/wrangler.js')
  const args = ['d1', 'migrations', 'apply', 'DB', '--local', '--config', 'core/wrangler.toml', '--persist-to', stateOf('core')]
  try {
    await run(process.execPath, [wrangler, ...args], {
      cwd: root,
      env: { ...process.env, CI: 'true', WRANGLER_SEND_METRICS: 'false' },
      timeout: 60_000,
    })
  } catch (cause) {
    const said =
      typeof cause === 'object' && cause !== null && 'stderr' in cause ? String(cause.stderr).trim().split('\n')[0] : String(cause)
    throw new Stop(`the database could not be brought up to date: ${said}. If the stored state is broken: npm start -- --fresh`)
  }
}
