// The process: how it starts, how it fails to, and how it ends.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, it } from 'vitest'
import { asks, longQuestion, mainPath, startEngine, type EngineProcess } from './engine-process.ts'

const running: EngineProcess[] = []
const start = async (flags: readonly string[]) => {
  const engine = await startEngine(flags)
  running.push(engine)
  return engine
}
afterEach(async () => {
  await Promise.all(running.splice(0).map((engine) => engine.stop()))
})

async function failure(flags: readonly string[]): Promise<{ readonly code: number | null; readonly message: string }> {
  const child = spawn(process.execPath, [mainPath, '--port', '0', ...flags], { stdio: ['ignore', 'ignore', 'pipe'] })
  const [message, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
  return { code, message }
}

it('listens before it is ready, and says so', async () => {
  const engine = await start(['--hang-load'])
  const health = await fetch(`${engine.url}/health`)
  expect(health.status).toBe(503)
  expect(await health.json()).toEqual({ error: { message: 'Loading model', type: 'unavailable_error', code: 503 } })
  const chat = await fetch(`${engine.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ messages: asks('Hi') }) })
  expect(chat.status).toBe(503)
  const index = await (await fetch(`${engine.url}/v2/repository/index`, { method: 'POST' })).json()
  expect(index).toContainEqual({ name: 'atlas-2.q8_0', version: '1', state: 'LOADING', reason: '' })
  await engine.clearFaults()
  expect(await engine.ready).toMatchObject({ models: ['atlas-2.q8_0'], loadMs: expect.any(Number) })
  const healthy = await fetch(`${engine.url}/health`)
  expect([healthy.status, await healthy.json()]).toEqual([200, { status: 'ok' }])
})

it('ends at SIGTERM, whatever it is doing', async () => {
  const engine = await start(['--stall-after-tokens', '2'])
  await engine.ready
  const stalled = await fetch(`${engine.url}/v1/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ messages: asks(longQuestion), stream: true }),
  })
  const cut = stalled.text().catch((error: unknown) => error)
  const exited = once(engine.child, 'exit')
  engine.child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
  expect(await cut).toBeInstanceOf(TypeError)
  await expect(fetch(`${engine.url}/health`)).rejects.toThrow('fetch failed')
})

it('ends when the parent that holds its channel is gone', async () => {
  const script = `require('node:child_process').fork(${JSON.stringify(mainPath)}, ['--port', '0', '--hang-load'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })`
  const parent = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(parent.stdout, 'data')
  expect(JSON.parse(String(line))).toMatchObject({ event: 'listening' })
  // The pipe closes when its last writer is gone, and the engine writes to it as well.
  const closed = once(parent.stdout, 'close')
  parent.stdout.resume()
  parent.kill('SIGKILL')
  await closed
})

describe('says in one line why it does not start', () => {
  it.each([
    ['a flag that does not exist', ['--gpu'], 2, /Unknown option '--gpu'/],
    ['a value out of range', ['--slots', '0'], 2, /--slots must be/],
    ['a model that is not there', ['--model', 'none'], 1, /there is no file .*none\.gguf/],
    ['a folder that is not there', ['--repository', '/none'], 1, /there is no folder \/none/],
  ])('%s', async (_, flags, code, message) => {
    const failed = await failure(flags)
    expect(failed.code).toBe(code)
    expect(failed.message).toMatch(message)
    expect(failed.message.trim().split('\n').length).toBe(1)
  })

  it('a file that is no GGUF, or half of one', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'engine-files-'))
    await writeFile(join(folder, 'text.gguf'), 'hello')
    await writeFile(join(folder, 'half.gguf'), Buffer.concat([Buffer.from('GGUF\x03\0\0\0'), Buffer.alloc(100)]))
    const [none, half] = await Promise.all([
      failure(['--model', join(folder, 'text.gguf')]),
      failure(['--model', join(folder, 'half.gguf')]),
    ])
    expect([none.code, half.code]).toEqual([1, 1])
    expect(none.message).toMatch(/is not a GGUF file/)
    expect(half.message).toMatch(/model 'half' cannot be loaded/)
    expect(half.message.trim().split('\n').length).toBe(1)
  })

  it('a port in use', async () => {
    const engine = await start(['--hang-load'])
    const { port } = new URL(engine.url)
    const failed = await failure(['--port', port])
    expect([failed.code, failed.message.trim()]).toEqual([1, `engine: port ${port} is in use`])
  })
})
