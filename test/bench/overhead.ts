// What Isochrone adds to the first token: the same streamed question to the nearest engine directly and through the edge, in turns,
// one request at a time and sixteen at a time.

import type { Dev } from '../support/platform.ts'
import { ms, quantile, table } from './figures.ts'

const rounds = 150

export async function overhead(dev: Dev): Promise<string> {
  const engine = dev.regions[0]
  if (!engine) throw new Error('no region')
  const body = (model: string) =>
    JSON.stringify({ model, stream: true, max_tokens: 8, messages: [{ role: 'user', content: 'What is the capital of Kenya?' }] })
  const direct = () => firstToken(`${engine.engineUrl}/v1/chat/completions`, {}, body('atlas-2.q8_0'))
  const through = () => firstToken(`${dev.edgeUrl}/v1/chat/completions`, { authorization: `Bearer ${dev.apiKey}` }, body(dev.model))
  for (let i = 0; i < 20; i++) await Promise.all([direct(), through()])

  const rows = []
  for (const atOnce of [1, 16]) {
    const times = { direct: [] as number[], through: [] as number[] }
    for (let round = 0; round < rounds / atOnce; round++) {
      const together = (one: () => Promise<number>) => Promise.all(Array.from({ length: atOnce }, one))
      times.direct.push(...(await together(direct)))
      times.through.push(...(await together(through)))
    }
    for (const p of [0.5, 0.99]) {
      const [a, b] = [quantile(times.direct, p), quantile(times.through, p)]
      rows.push([String(atOnce), `p${p * 100}`, ms(a), ms(b), ms(b - a), (b / a).toFixed(2)])
    }
  }
  return `Time to the first token of a stream, engine us-east (5 ms away) directly and through the edge, in turns, ${rounds} requests each.\n\n${table(['at once', 'quantile', 'direct', 'through Isochrone', 'added', 'ratio'], rows)}`
}

/** Milliseconds until the first event with content; the rest is read to its end. */
async function firstToken(url: string, headers: Record<string, string>, body: string): Promise<number> {
  const beganMs = performance.now()
  const response = await fetch(url, { method: 'POST', headers, body })
  if (!response.ok || !response.body) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  const decoder = new TextDecoder()
  let text = ''
  let firstMs = Number.NaN
  for await (const chunk of response.body) {
    text += decoder.decode(chunk, { stream: true })
    if (Number.isNaN(firstMs) && /"content":"[^"]/.test(text)) firstMs = performance.now() - beganMs
  }
  return firstMs
}
