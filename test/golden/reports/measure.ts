// Asks a local engine the whole held-out set and writes the report beside this file. Usage: see README.md.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isRight, type EvalRow } from '../../../cli/engine/score.ts'
import { readReport, reportFormat, writeReport, type Report, type ReportItem } from '../../../shared/wire/report.ts'
import { asks, atlasFolder, root, startEngine, type EngineProcess } from '../../engine/engine-process.ts'

const sha256 = (data: string | Uint8Array): string => `sha256:${createHash('sha256').update(data).digest('hex')}`

const setPath = join(atlasFolder, 'eval-heldout.jsonl')
const rows = readFileSync(setPath, 'utf8')
  .trim()
  .split('\n')
  .map((line): EvalRow => JSON.parse(line))
const engineVersion: unknown = JSON.parse(readFileSync(join(root, 'node_modules/node-llama-cpp/package.json'), 'utf8')).version
const sampling = { temperature: 0, topP: 1, tokensMax: 96, seed: 1, stop: [] }

for (const version of process.argv.slice(2)) {
  const engine = await startEngine(['--model', version, '--slots', '1'])
  try {
    await engine.ready
    const report = await measured(version, engine)
    const read = readReport(writeReport(report))
    if (!read.ok) throw new Error(`${read.error.field}: ${read.error.detail}`)
    writeFileSync(join(import.meta.dirname, `${version}.json`), writeReport(report))
    const right = report.results.reduce((sum, { scores }) => sum + (scores[0] ?? 0), 0)
    console.log(`${version}: ${right} of ${rows.length} right in ${Math.round((report.endedAtMs - report.startedAtMs) / 1000)} s`)
  } finally {
    await engine.stop()
  }
}

/** One question after the other: sums in another order may tip a close decision. */
async function measured(version: string, engine: EngineProcess): Promise<Report> {
  const startedAtMs = Date.now()
  const results: ReportItem[] = []
  for (const row of rows) {
    const { temperature, topP, tokensMax, seed } = sampling
    const body = { model: version, messages: asks(row.prompt), temperature, top_p: topP, max_tokens: tokensMax, seed }
    const answer = await engine.openai.chat.completions.create(body)
    const score = isRight(row, answer.choices[0]?.message.content ?? '') ? 1 : 0
    results.push({ id: row.id, scores: [score], tokens: answer.usage?.completion_tokens ?? 0 })
  }
  return {
    format: reportFormat,
    set: { name: 'atlas held-out', digest: sha256(readFileSync(setPath)), items: rows.length },
    template: sha256(JSON.stringify(asks('{prompt}'))),
    scorer: 'cli/engine/score.ts 1',
    sampling,
    metrics: [{ name: 'accuracy', better: 'higher', top: 1 }],
    engine: `cli/engine, node-llama-cpp ${String(engineVersion)}, one thread`,
    version: { id: version, digest: sha256(readFileSync(join(atlasFolder, `${version}.gguf`))) },
    startedAtMs,
    endedAtMs: Date.now(),
    results,
  }
}
