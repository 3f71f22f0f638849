// `npm start` itself: its messages when something is missing, what survives a restart, and that it leaves nothing behind.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import OpenAI from 'openai'
import { afterAll, describe, expect, it } from 'vitest'
import { freePort } from '../../cli/local/free-port.ts'
import { admin, forgetHome, isAlive, newHome, runStart, startPlatform, until } from '../support/platform.ts'

const homes: string[] = []
const home = () => {
  const made = newHome()
  homes.push(made)
  return made
}
afterAll(() => {
  for (const each of homes) forgetHome(each)
})

/** Processes whose command line or environment names this home. */
function processesOf(where: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/environ`, 'utf8').includes(where) && Number(name) !== process.pid
      } catch {
        return false
      }
    })
    .map(Number)
}

/** Helpers of the build end a moment after the program that started them. */
const untilNoneOf = (where: string) => until(() => Promise.resolve(processesOf(where).length === 0))

describe('what cannot start says why in one line, and leaves nothing behind', () => {
  const cases: [string, Record<string, string>, string[], RegExp, number][] = [
    ['a port that is no port', { EDGE_PORT: 'abc' }, [], /EDGE_PORT=abc is not a port/, 2],
    ['one port for both', { EDGE_PORT: '7001', CORE_PORT: '7001' }, [], /both 7001/, 1],
    ['a model that is not there', { ISOCHRONE_MODEL: '/nowhere/x.gguf' }, [], /the model \/nowhere\/x\.gguf cannot be read \(ENOENT\)/, 1],
    ['an argument that does not exist', {}, ['--frsh'], /frsh/, 2],
  ]
  it.each(cases)('%s', async (_, env, args, message, exitCode) => {
    const where = home()
    const ports = { EDGE_PORT: String(await freePort()), CORE_PORT: String(await freePort()) }
    const run = runStart({ ISOCHRONE_HOME: where, ...ports, ...env }, args)
    expect(await run.exited).toBe(exitCode)
    const said = run
      .output()
      .trim()
      .split('\n')
      .filter((line) => line.startsWith('npm start:'))
    expect(said).toHaveLength(1)
    expect(said[0]).toMatch(message)
    expect(run.output()).not.toMatch(/\n\s+at /)
    await untilNoneOf(where)
  })

  it.each([
    ['a file that is no model', 'this is not a model', /npm start: .*broken\.gguf is not a GGUF file/],
    [
      'a model that the engines cannot load',
      'GGUF and then nothing of use',
      /npm start: the engine of [a-z-]+ ended while starting \(exit code 1\): .*broken\.gguf/,
    ],
  ])('%s', async (_, content, message) => {
    const where = home()
    const file = path.join(where, 'broken.gguf')
    writeFileSync(file, content)
    const run = runStart({
      ISOCHRONE_HOME: where,
      EDGE_PORT: String(await freePort()),
      CORE_PORT: String(await freePort()),
      ISOCHRONE_MODEL: file,
    })
    expect(await run.exited).toBe(1)
    expect(run.output()).toMatch(message)
    expect(run.output()).not.toMatch(/\n\s+at /)
    await untilNoneOf(where)
  })

  it('a port in use', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address ? address.port : 0
    try {
      const run = runStart({ ISOCHRONE_HOME: home(), EDGE_PORT: String(port), CORE_PORT: String(await freePort()) })
      expect(await run.exited).toBe(1)
      expect(run.output()).toContain(`npm start: port ${port} is in use. Choose another: EDGE_PORT=${port + 10} npm start`)
    } finally {
      server.close()
    }
  })
})

describe('a restart', () => {
  it('keeps what operators wrote and the demo key; nothing runs in between; a crash of the supervisor is cleaned up', async () => {
    const where = home()
    const first = await startPlatform({ home: where })
    expect((await admin(first.dev, 'POST', 'tenants', { id: 'kept', name: 'Kept' })).status).toBe(201)
    const again = runStart({ ISOCHRONE_HOME: where, EDGE_PORT: String(await freePort()), CORE_PORT: String(await freePort()) })
    expect(await again.exited).toBe(1)
    expect(again.output()).toContain(`already running here (process ${first.dev.processes.supervisor})`)
    const typo = runStart({ ISOCHRONE_HOME: where, ISOCHRONE_MODEL: '/nowhere/x.gguf' })
    expect(await typo.exited).toBe(1)
    // Neither disarms the one that runs: its files are still there, and a third is still turned away.
    expect(readdirSync(where)).toEqual(expect.arrayContaining(['dev.json', 'processes.json']))
    const third = runStart({ ISOCHRONE_HOME: where, EDGE_PORT: String(await freePort()), CORE_PORT: String(await freePort()) })
    expect(await third.exited).toBe(1)
    expect(await first.stop()).toBe(0)
    await untilNoneOf(where)

    const second = await startPlatform({ home: where })
    expect(second.dev.apiKey).toBe(first.dev.apiKey)
    expect((await admin(second.dev, 'GET', 'tenants/kept')).status).toBe(200)
    const openai = new OpenAI({ baseURL: `${second.dev.edgeUrl}/v1`, apiKey: second.dev.apiKey, maxRetries: 0 })
    const answer = await openai.chat.completions.create({
      model: 'atlas',
      messages: [{ role: 'user', content: 'What is the capital of Peru?' }],
    })
    expect(answer.choices[0]?.message.content).toContain('Lima')

    // SIGKILL gives nobody a chance to tidy up; the children notice, and the next start ends what is left.
    const pids = [second.dev.processes.edge, second.dev.processes.core, ...second.dev.regions.map(({ pid }) => pid)]
    process.kill(second.dev.processes.supervisor, 'SIGKILL')
    const last = await startPlatform({ home: where, args: ['--fresh'] })
    expect(pids.filter(isAlive)).toEqual([])
    expect((await admin(last.dev, 'GET', 'tenants/kept')).status).toBe(404)
    expect(last.dev.apiKey).not.toBe(first.dev.apiKey)
    expect(await last.stop()).toBe(0)
    await untilNoneOf(where)
  })

  it('another model is served under its own name', async () => {
    const model = path.resolve(import.meta.dirname, '../../cli/engine/atlas/atlas-1.q8_0.gguf')
    const platform = await startPlatform({ home: home(), env: { ISOCHRONE_MODEL: model } })
    try {
      expect(platform.dev.model).toBe('atlas-1.q8_0')
      const openai = new OpenAI({ baseURL: `${platform.dev.edgeUrl}/v1`, apiKey: platform.dev.apiKey, maxRetries: 0 })
      const { response } = await openai.chat.completions
        .create({ model: 'atlas-1.q8_0', messages: [{ role: 'user', content: 'What is the capital of Peru?' }], max_tokens: 24 })
        .withResponse()
      expect(response.headers.get('isochrone-model-version')).toBe('atlas-1.q8_0')
    } finally {
      await platform.stop()
    }
  })
})
