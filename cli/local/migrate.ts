// D1's migrations on the local store, by wrangler itself, so that they run here exactly as they run when deployed.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { startChild } from './children.ts'
import { root, stateOf } from './places.ts'
import { Stop } from './stop.ts'

/** Applies what is not applied yet. Throws Stop with wrangler's own reason. */
export async function migrate(): Promise<void> {
  const wrangler = resolve(root, 'node_modules/wrangler/bin/wrangler.js')
  const args = ['d1', 'migrations', 'apply', 'DB', '--local', '--config', 'core/wrangler.toml', '--persist-to', stateOf('core')]
  const child = startChild('migrations', wrangler, args, { CI: 'true', NO_COLOR: '1', WRANGLER_SEND_METRICS: 'false' })
  const how = await child.exited
  if (how === 'exit code 0') return
  const error =
    readFileSync(child.log.path, 'utf8')
      .split('\n')
      .find((line) => line.includes('ERROR')) ?? how
  throw new Stop(
    `the database could not be brought up to date: ${error.trim()}. Its log: ${child.log.path}. To forget what is stored: npm start -- --fresh`,
  )
}
