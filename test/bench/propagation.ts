// How long a write to the admin API takes to be obeyed by the edge. Promised: two seconds.
// The edge is left alone between writes, so that its isolate has to find out by itself.

import { admin, type Dev } from '../support/platform.ts'
import { ms, quantile, table } from './figures.ts'

const rounds = 20
const quietMs = 1_500

export async function propagation(dev: Dev): Promise<string> {
  const cases: Record<string, number[]> = { 'a new key is accepted': [], 'a disabled key is refused': [], 'a new alias is served': [] }
  const engine = dev.regions[0]
  await admin(dev, 'POST', 'models', { name: 'bench' })
  await admin(dev, 'POST', 'versions', { id: 'bench-1', model: 'bench', digest: `sha256:${'0'.repeat(64)}`, engine: 'llama.cpp' })
  await admin(dev, 'POST', 'endpoints', {
    id: 'bench-1',
    region: engine?.name,
    version: 'bench-1',
    url: engine?.engineUrl,
    servedName: 'atlas-2.q8_0',
    slots: 4,
  })

  for (let round = 0; round < rounds; round++) {
    await pause(quietMs)
    const made = (await (await admin(dev, 'POST', 'keys', { tenant: 'demo', environment: 'development', name: 'bench' })).json()) as {
      id: string
      key: string
    }
    cases['a new key is accepted']?.push(await timeUntil(async () => (await ask(dev, made.key, dev.model)) === 200))

    await pause(quietMs)
    await admin(dev, 'PATCH', `keys/${made.id}`, { disabled: true }, { 'if-match': '"1"' })
    cases['a disabled key is refused']?.push(await timeUntil(async () => (await ask(dev, made.key, dev.model)) === 401))

    await pause(quietMs)
    await admin(dev, 'POST', 'aliases', { environment: 'development', model: 'bench', stable: 'bench-1' })
    cases['a new alias is served']?.push(await timeUntil(async () => (await ask(dev, dev.apiKey, 'bench')) === 200))
    await admin(dev, 'DELETE', 'aliases/development/bench')
  }
  const rows = Object.entries(cases).map(([what, times]) => [
    what,
    ms(quantile(times, 0.5)),
    ms(quantile(times, 0.95)),
    ms(Math.max(...times)),
  ])
  return `${rounds} writes of each kind, the edge idle for ${quietMs} ms before each; from the admin API's answer to the first obedient answer of the edge.\n\n${table(['write', 'p50', 'p95', 'max'], rows)}`
}

const pause = (forMs: number) => new Promise((resolve) => setTimeout(resolve, forMs))

async function timeUntil(look: () => Promise<boolean>): Promise<number> {
  const beganMs = performance.now()
  while (!(await look())) {
    if (performance.now() - beganMs > 30_000) return Number.POSITIVE_INFINITY
  }
  return performance.now() - beganMs
}

async function ask(dev: Dev, key: string, model: string): Promise<number> {
  const response = await fetch(`${dev.edgeUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ model, max_tokens: 1, messages: [{ role: 'user', content: 'hi' }] }),
  })
  await response.body?.cancel()
  return response.status
}
