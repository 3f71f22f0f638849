// The Workers as single files for the local runtime. Deployments are bundled by wrangler itself.

import { build } from 'esbuild'
import { resolve } from 'node:path'
import { places, root } from './places.ts'

export const bundlePathOf = (role: 'edge' | 'core'): string => resolve(places.bundles, `${role}.mjs`)

/** Bundles one Worker as wrangler would (the conditions under which packages offer their Workers build). */
export async function bundle(role: 'edge' | 'core'): Promise<void> {
  await build({
    entryPoints: [resolve(root, role, 'worker.ts')],
    outfile: bundlePathOf(role),
    bundle: true,
    format: 'esm',
    // As wrangler has it: packages are taken as made for browsers, which is how AWS's SDK leaves Node's parts out.
    platform: 'browser',
    target: 'es2024',
    mainFields: ['browser', 'module', 'main'],
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*', 'node:*'],
    sourcemap: 'inline',
    logLevel: 'warning',
  })
}
