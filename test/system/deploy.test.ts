// `npm run deploy` without an account: what it builds, and what it says is missing.

import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { expect, it } from 'vitest'
import { forgetHome, newHome } from '../support/platform.ts'

const root = path.resolve(import.meta.dirname, '../..')

function deploy(...args: string[]) {
  const home = newHome()
  const { CLOUDFLARE_API_TOKEN: _, OPERATOR_TOKEN: __, CREDENTIAL_KEY: ___, ...env } = process.env
  try {
    // A home without wrangler's own login, so that the machine's user does not decide the test.
    return spawnSync(process.execPath, ['cli/deploy/deploy.ts', ...args], {
      cwd: root,
      env: { ...env, ISOCHRONE_HOME: home, XDG_CONFIG_HOME: home, HOME: home },
      encoding: 'utf8',
      timeout: 55_000,
    })
  } finally {
    forgetHome(home)
  }
}

it('a dry run builds both Workers', () => {
  const run = deploy('--dry-run')
  expect(run.stderr).toBe('')
  expect(run.stdout).toMatch(/core builds: Total Upload: [\d.]+ KiB/)
  expect(run.stdout).toMatch(/edge builds: Total Upload: [\d.]+ KiB/)
  expect(run.status).toBe(0)
})

it('a real one names every secret that is missing, in one go', () => {
  const run = deploy()
  expect(run.status).toBe(1)
  expect(run.stderr).toContain('CLOUDFLARE_API_TOKEN')
  expect(run.stderr).toContain('OPERATOR_TOKEN')
  expect(run.stderr).toContain('CREDENTIAL_KEY')
})
