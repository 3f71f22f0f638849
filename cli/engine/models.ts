// cli/engine/models.ts — which models are in memory: loads and unloads them by name. Only files that the repository folder lists, and the one
// the server was started with, have a name, so no name can lead anywhere else.
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileOf, headerBytes, isGguf, nameOf } from './gguf.ts'
import type { OpenModel } from './llama.ts'
import type { Model } from './model.ts'
import { no, ok, repositoryError, type Result } from './refuse.ts'

/** A model in memory and the requests it is answering. */
export type Loaded = {
  readonly model: Model
  readonly closing: AbortSignal
  /** Runs `request` and counts it among those that an unload waits for. */
  readonly use: <T>(request: () => Promise<T>) => Promise<T>
}

/** Every model has this one version: a file is never changed in place. */
export const modelVersion = '1'

export type IndexRow = {
  readonly name: string
  readonly version: string
  readonly state: 'READY' | 'LOADING' | 'UNAVAILABLE'
  readonly reason: string
}

export type Models = {
  readonly loaded: () => readonly Loaded[]
  readonly find: (name: string) => Loaded | null
  readonly index: () => Promise<readonly IndexRow[]>
  /** Refused (400): unknown name, no room, or a file that cannot be loaded. Loading a loaded model does nothing. */
  readonly load: (name: string) => Promise<Result<null>>
  /** Waits for the model's requests up to `unloadWaitMs`, then ends them. Refused (400): unknown name, or still loading. */
  readonly unload: (name: string) => Promise<Result<null>>
}

export type ModelsOptions = {
  readonly repository: string
  /** The file the server was started with; it may lie outside the repository. */
  readonly firstPath: string
  readonly modelsMax: number
  readonly unloadWaitMs: number
}

export type ModelsDeps = { readonly openModel: () => Promise<OpenModel>; readonly untilLoadMayGo: () => Promise<void> }

type Entry =
  | { readonly state: 'LOADING'; readonly done: Promise<Result<null>> }
  | { readonly state: 'READY'; readonly loaded: Loaded; readonly close: () => Promise<void> }
  | { readonly state: 'UNLOADING'; readonly done: Promise<Result<null>> }
  | { readonly state: 'UNAVAILABLE'; readonly reason: string }

export function openModels(options: ModelsOptions, deps: ModelsDeps): Models {
  const entries = new Map<string, Entry>()
  const inMemory = (): number => [...entries.values()].filter((entry) => entry.state !== 'UNAVAILABLE').length

  /** Name to path, read anew each time: files may come and go. */
  async function files(): Promise<ReadonlyMap<string, string>> {
    const names = (await readdir(options.repository)).map(nameOf).filter((name) => name !== null)
    const found = new Map(names.toSorted().map((name) => [name, join(options.repository, fileOf(name))]))
    const first = nameOf(options.firstPath)
    if (first !== null) found.set(first, options.firstPath)
    return found
  }

  async function load(name: string): Promise<Result<null>> {
    const path = (await files()).get(name)
    if (path === undefined) return no(repositoryError(`unknown model '${name}'`))
    const entry = entries.get(name)
    if (entry?.state === 'READY') return ok(null)
    if (entry?.state === 'LOADING') return entry.done
    if (entry?.state === 'UNLOADING') return no(repositoryError(`model '${name}' is being unloaded`))
    if (inMemory() >= options.modelsMax) {
      return no(repositoryError(`model '${name}' is not loaded: ${options.modelsMax} models are in memory and no more are allowed`))
    }
    const done = bring(name, path)
    entries.set(name, { state: 'LOADING', done })
    return done
  }

  async function bring(name: string, path: string): Promise<Result<null>> {
    try {
      await deps.untilLoadMayGo()
      await checkGguf(path)
      const openModel = await deps.openModel()
      entries.set(name, ready(await openModel(name, path), options.unloadWaitMs))
      return ok(null)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      entries.set(name, { state: 'UNAVAILABLE', reason })
      return no(repositoryError(`model '${name}' cannot be loaded: ${reason}`))
    }
  }

  async function unload(name: string): Promise<Result<null>> {
    const isKnown = entries.has(name) || (await files()).has(name)
    if (!isKnown) return no(repositoryError(`unknown model '${name}'`))
    const entry = entries.get(name)
    if (entry === undefined || entry.state === 'UNAVAILABLE') return ok(null)
    if (entry.state === 'LOADING') return no(repositoryError(`model '${name}' is being loaded`))
    if (entry.state === 'UNLOADING') return entry.done
    const done = entry.close().then(() => {
      entries.set(name, { state: 'UNAVAILABLE', reason: 'unloaded' })
      return ok(null)
    })
    entries.set(name, { state: 'UNLOADING', done })
    return done
  }

  async function index(): Promise<readonly IndexRow[]> {
    return [...(await files()).keys()].map((name) => rowOf(name, entries.get(name)))
  }

  const loaded = (): readonly Loaded[] => [...entries.values()].filter((entry) => entry.state === 'READY').map((entry) => entry.loaded)
  return { loaded, find: (name) => loaded().find((one) => one.model.name === name) ?? null, index, load, unload }
}

function rowOf(name: string, entry: Entry = { state: 'UNAVAILABLE', reason: 'not loaded' }): IndexRow {
  const row = (state: IndexRow['state'], reason: string): IndexRow => ({ name, version: modelVersion, state, reason })
  switch (entry.state) {
    case 'READY':
    case 'LOADING':
      return row(entry.state, '')
    case 'UNLOADING':
      return row('UNAVAILABLE', 'being unloaded')
    case 'UNAVAILABLE':
      return row('UNAVAILABLE', entry.reason)
  }
}

function ready(model: Model, unloadWaitMs: number): Extract<Entry, { state: 'READY' }> {
  const closing = new AbortController()
  const running = new Set<Promise<unknown>>()
  const use: Loaded['use'] = (request) => {
    const run = request()
    const counted: Promise<unknown> = run.then(
      () => running.delete(counted),
      () => running.delete(counted),
    )
    running.add(counted)
    return run
  }
  async function close(): Promise<void> {
    const timer = setTimeout(() => closing.abort(), unloadWaitMs)
    await Promise.all(running)
    clearTimeout(timer)
    await model.close()
  }
  return { state: 'READY', loaded: { model, closing: closing.signal, use }, close }
}

/** Throws, in words for the person who named the file, when it cannot be read or is not a GGUF. */
export async function checkGguf(path: string): Promise<void> {
  const file = await open(path).catch((error: unknown) => {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    throw new Error(isMissing ? `there is no file ${path}` : `${path} cannot be read`, { cause: error })
  })
  try {
    const { buffer } = await file.read(Buffer.alloc(headerBytes), 0, headerBytes, 0)
    if (!isGguf(buffer)) throw new Error(`${path} is not a GGUF file`)
  } finally {
    await file.close()
  }
}
