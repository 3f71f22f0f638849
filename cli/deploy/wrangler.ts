// wrangler as a function: arguments in, exit code and output out. Everything that reaches Cloudflare goes through here.

import { spawn, type ChildProcess } from 'node:child_process'
import { resolve } from 'node:path'
import { root } from '../local/places.ts'

export type Said = { readonly code: number; readonly stdout: string; readonly stderr: string }

/** Runs wrangler; `show` passes its output on to the terminal as it comes. */
export type Wrangler = (args: readonly string[], show?: boolean) => Promise<Said>

const running = new Set<ChildProcess>()

/** Passes a signal on to what is running. */
export function endWrangler(signal: NodeJS.Signals): void {
  for (const child of running) child.kill(signal)
}

export const wrangler: Wrangler = (args, show = false) => {
  const { promise, resolve: done, reject } = Promise.withResolvers<Said>()
  const program = resolve(root, 'node_modules/wrangler/bin/wrangler.js')
  const env = { ...process.env, CI: 'true', WRANGLER_SEND_METRICS: 'false' }
  const child = spawn(process.execPath, [program, ...args], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  child.once('close', () => running.delete(child))
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
    if (show) process.stdout.write(chunk)
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
    if (show) process.stderr.write(chunk)
  })
  child.once('error', reject)
  child.once('close', (code) => done({ code: code ?? 1, stdout, stderr }))
  return promise
}
