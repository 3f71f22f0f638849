// Loading and unloading, with models that are only names.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Model } from '../../cli/engine/model.ts'
import { openModels, type Models } from '../../cli/engine/models.ts'
import { openSlots } from '../../cli/engine/slots.ts'

let folder: string
const closed: string[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'engine-models-'))
  closed.length = 0
  for (const name of ['a', 'b', 'c']) await writeFile(join(folder, `${name}.gguf`), 'GGUF\x03\0\0\0')
  await writeFile(join(folder, 'fake.gguf'), 'GGUF\x09\0\0\0')
  await writeFile(join(folder, 'notes.txt'), 'GGUF')
})
afterEach(() => rm(folder, { recursive: true }))

const fakeModel = (name: string, path: string): Model => ({
  name,
  path,
  fileBytes: 4,
  createdS: 0,
  contextTokens: 16,
  trainContextTokens: 16,
  embeddingSize: 2,
  vocabularySize: 2,
  tokenLengthMax: 1,
  template: { source: '', bosText: '', eosText: '' },
  startToken: null,
  tokenise: () => [],
  detokenise: () => '',
  isEnd: () => false,
  slots: openSlots([], 0),
  embed: async () => [],
  close: async () => void closed.push(name),
})

function open(more: { readonly modelsMax?: number; readonly unloadWaitMs?: number } = {}): Models {
  const options = { repository: folder, firstPath: join(folder, 'a.gguf'), modelsMax: 2, unloadWaitMs: 60_000, ...more }
  return openModels(options, { openModel: async () => async (name, path) => fakeModel(name, path), untilLoadMayGo: async () => {} })
}

const statesOf = async (models: Models) => (await models.index()).map(({ name, state }) => `${name} ${state}`)

describe('openModels', () => {
  it('lists the folder, and nothing else', async () => {
    expect(await statesOf(open())).toEqual(['a UNAVAILABLE', 'b UNAVAILABLE', 'c UNAVAILABLE', 'fake UNAVAILABLE'])
  })

  it('loads once, however often and however much at once it is asked to', async () => {
    const models = open({ modelsMax: 1 })
    const results = await Promise.all([models.load('a'), models.load('a')])
    expect([...results, await models.load('a')].every((result) => result.ok)).toBe(true)
    expect(models.find('a')?.model.path).toBe(join(folder, 'a.gguf'))
  })

  it.each(['d', '', '..', '../a', './a', 'a.gguf', '/etc/passwd', 'notes', 'constructor'])('knows no model %j', async (name) => {
    const models = open()
    expect(await models.load(name)).toMatchObject({ ok: false, refusal: { status: 400, body: { error: `unknown model '${name}'` } } })
    expect(await models.unload(name)).toMatchObject({ ok: false, refusal: { status: 400 } })
  })

  it('says why a file cannot be loaded, and takes no room for it', async () => {
    const models = open({ modelsMax: 1 })
    expect((await models.load('fake')).ok).toBe(false)
    expect((await models.index()).find((row) => row.name === 'fake')?.reason).toMatch(/is not a GGUF file/)
    expect((await models.load('a')).ok).toBe(true)
  })

  it('refuses more models than fit, until one goes', async () => {
    const models = open()
    await models.load('a')
    await models.load('b')
    expect(await models.load('c')).toMatchObject({ ok: false, refusal: { status: 400 } })
    await models.unload('a')
    expect((await models.load('c')).ok).toBe(true)
    expect([closed, await statesOf(models)]).toEqual([['a'], ['a UNAVAILABLE', 'b READY', 'c READY', 'fake UNAVAILABLE']])
  })

  it('lets running requests end before it unloads, and takes no new ones', async () => {
    const models = open()
    await models.load('a')
    const { promise, resolve } = Promise.withResolvers<null>()
    const request = models.find('a')?.use(() => promise)
    const unloaded = models.unload('a')
    await Promise.resolve()
    expect([models.find('a'), closed]).toEqual([null, []])
    resolve(null)
    await request
    expect([(await unloaded).ok, closed]).toEqual([true, ['a']])
  })

  it('ends requests that do not end by themselves', async () => {
    const models = open({ unloadWaitMs: 0 })
    await models.load('a')
    const loaded = models.find('a')
    if (loaded === null) throw new Error('not loaded')
    const request = loaded.use(() => new Promise((resolve) => loaded.closing.addEventListener('abort', resolve)))
    expect((await models.unload('a')).ok).toBe(true)
    await request
  })
})
