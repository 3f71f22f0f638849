// The real platform with scripted servers behind it: registers models whose endpoints play scripts, and waits until edge, ledgers and probes agree.

import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import { expect, inject } from 'vitest'
import { admin, forgetHome, until, type Dev } from './platform.ts'
import { askings, hear, type Heard } from './scripted-client.ts'
import type { DialectName } from './scripted-dialects.ts'
import { startOnFreePorts } from './scripted-platform.ts'
import { scriptedUpstream, type Script, type ScriptedUpstream } from './scripted-upstream.ts'

/** An endpoint of a model: the script it plays, and where it differs from the others. */
export type EndpointRow = {
  readonly script: Script
  readonly url?: string
  readonly region?: string
  readonly kind?: string
  readonly operations?: readonly string[]
  readonly slots?: number
}

export type ModelRow = {
  readonly endpoints: readonly (Script | EndpointRow)[]
  /** More fields of the model's row. */
  readonly fields?: Readonly<Record<string, unknown>>
}

export type Serving = {
  /** Endpoints of these models: kind and operations, where not the usual ones. */
  readonly endpoint?: Readonly<Pick<EndpointRow, 'kind' | 'operations'>>
  /** false: do not wait until probes find the endpoints healthy. */
  readonly healthy?: boolean
}

export type AskOptions = {
  readonly body?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

export type Gateway = {
  readonly dev: Dev
  readonly upstream: ScriptedUpstream
  /** What clients call base URL. */
  readonly baseURL: string
  readonly apiKey: string
  /** The name under which a model of this file is asked for. */
  readonly name: (model: string) => string
  /** The id of a model's n-th endpoint, counted from 1. */
  readonly endpointOf: (model: string, n: number) => string
  /** Registers models; of several endpoints the first is asked first, by its weight. A script alone is a model of that name with one endpoint. */
  readonly serve: (given: Readonly<Record<string, ModelRow>> | readonly Script[], so?: Serving) => Promise<void>
  /** Lets an endpoint play another script from now on. */
  readonly replay: (model: string, n: number, script: Script) => Promise<void>
  readonly ask: (dialect: DialectName, model: string, stream: boolean, options?: AskOptions) => Promise<Response>
  readonly askAndHear: (dialect: DialectName, model: string, stream: boolean, options?: AskOptions) => Promise<Heard>
  /** Asks over a connection that can be reset, as a caller's that vanishes; an aborted fetch closes it in good order. */
  readonly askThenVanish: (dialect: DialectName, model: string, stream: boolean) => () => void
  /** Leases on this file's endpoints, by endpoint, and answers that scripted servers have not ended. */
  readonly inFlight: () => Promise<{ readonly leases: Readonly<Record<string, number>>; readonly upstream: number }>
  readonly close: () => Promise<void>
}

type Status = {
  readonly generation: number
  readonly endpoints: readonly { readonly id: string; readonly state: string }[]
  readonly ledgers: readonly { readonly generation: number; readonly inFlight: Readonly<Record<string, number>> }[]
}

/** What is in flight when all is over, and how to wait for it: core hears of the ledgers once a second. */
export const nothing = { leases: {}, upstream: 0 }
export const settling = { timeout: 15_000, interval: 100 }

const environment = 'development'
/** What the platform promises: so long after a write no request goes by what was before. */
const obeyedMs = 2_000
/** Far more than anything else of the model weighs: with nothing in flight the first endpoint is always the least loaded. */
const weights = { first: 1_000, others: 1 }

/** Opens a gateway for a test file. `file` keeps its models apart from those of other files on the same platform. */
export async function openGateway(file: string): Promise<Gateway> {
  const shared = sharedDev()
  const own = shared ? null : await startOnFreePorts()
  const dev = shared ?? own?.dev
  if (!dev) throw new Error('no platform')
  const upstream = await scriptedUpstream()
  const name = (model: string) => `${file}/${model}`
  const idOf = (model: string) => slugOf(name(model))
  const endpointOf = (model: string, n: number) => `${idOf(model)}-${n}`
  const made: string[] = []
  const prefix = slugOf(file)

  const create = async (kind: string, id: string, row: object) => {
    const response = await admin(dev, 'POST', kind, row)
    // A file that runs again on the same platform finds its names.
    const isKnown = response.status === 409 && (kind === 'models' || kind === 'versions')
    if (response.status !== 201 && !isKnown) throw new Error(`${kind} ${id}: ${response.status} ${await response.text()}`)
    if (kind === 'aliases' || kind === 'endpoints') made.push(`${kind}/${id}`)
  }
  const statusNow = async () => (await (await admin(dev, 'GET', 'status')).json()) as Status

  const serve: Gateway['serve'] = async (given, so = {}) => {
    const models: readonly (readonly [string, ModelRow])[] = isList(given)
      ? given.map((script) => [script, { endpoints: [script] }])
      : Object.entries(given)
    const digest = `sha256:${createHash('sha256').update(file).digest('hex')}`
    await each(models, ([model, row]) => create('models', encodeURIComponent(name(model)), { name: name(model), ...row.fields }))
    await each(models, ([model]) => create('versions', idOf(model), { id: idOf(model), model: name(model), digest, engine: 'scripted' }))
    const rows = models.flatMap(([model, row]) =>
      row.endpoints.map((endpoint, index) => {
        const { script, ...more } = typeof endpoint === 'string' ? { script: endpoint } : endpoint
        const weight = index === 0 ? weights.first : weights.others
        // Scripts count what they are asked: nobody but the test may ask.
        const options = { generationProbe: 'off', ...(so.endpoint?.kind === 'anthropic' ? {} : { metricsProbe: 'off' }) }
        const common = { region: 'us-east', url: upstream.url, servedName: script, slots: 64, weight, options, ...so.endpoint }
        return { id: endpointOf(model, index + 1), version: idOf(model), ...common, ...more }
      }),
    )
    await each(rows, (row) => create('endpoints', row.id, row))
    await each(models, ([model]) =>
      create('aliases', `${environment}/${encodeURIComponent(name(model))}`, { environment, model: name(model), stable: idOf(model) }),
    )
    const ids = rows.map((row) => row.id)
    // Anthropic's protocol has no place to probe: such an endpoint is never known to be healthy, and served all the same.
    const isUnprobed = so.healthy === false || so.endpoint?.kind === 'anthropic'
    await until(async () => {
      const status = await statusNow()
      const known = status.endpoints.filter(({ id, state }) => ids.includes(id) && (isUnprobed || state === 'healthy'))
      return known.length === ids.length && status.ledgers.every(({ generation }) => generation === status.generation)
    })
    await until(async () => {
      const listed = (await (await fetch(`${dev.edgeUrl}/v1/models`, { headers: { authorization: `Bearer ${dev.apiKey}` } })).json()) as {
        data: { id: string }[]
      }
      return models.every(([model]) => listed.data.some(({ id }) => id === name(model)))
    })
  }

  const agreed = () =>
    until(async () => {
      const status = await statusNow()
      return status.ledgers.every(({ generation }) => generation === status.generation)
    })

  const replay: Gateway['replay'] = async (model, n, script) => {
    const route = `endpoints/${endpointOf(model, n)}`
    const etag = (await admin(dev, 'GET', route)).headers.get('etag') ?? ''
    const before = (await statusNow()).generation
    expect((await admin(dev, 'PATCH', route, { servedName: script }, { 'if-match': etag })).status).toBe(200)
    await until(async () => (await statusNow()).generation > before)
    await agreed()
    // An isolate that was busy a moment ago is told with its next report, and believes what it has until then.
    await new Promise((resolve) => setTimeout(resolve, obeyedMs))
  }

  const ask: Gateway['ask'] = (dialect, model, stream, options = {}) => {
    const { path, body } = askings[dialect](name(model), stream)
    return fetch(`${dev.edgeUrl}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${dev.apiKey}`, 'content-type': 'application/json', ...options.headers },
      body: JSON.stringify({ ...body, ...options.body }),
      ...(options.signal ? { signal: options.signal } : {}),
    })
  }

  const askThenVanish: Gateway['askThenVanish'] = (dialect, model, stream) => {
    const { path, body } = askings[dialect](name(model), stream)
    const text = JSON.stringify(body)
    const { hostname, port } = new URL(dev.edgeUrl)
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined)
    const head = ['content-type: application/json', `content-length: ${Buffer.byteLength(text)}`, `authorization: Bearer ${dev.apiKey}`]
    socket.write([`POST ${path} HTTP/1.1`, `host: ${hostname}`, ...head, '', text].join('\r\n'))
    return () => void socket.resetAndDestroy()
  }

  const inFlight: Gateway['inFlight'] = async () => {
    const status = await statusNow()
    const leases = status.ledgers
      .flatMap(({ inFlight }) => Object.entries(inFlight))
      .filter(([id, count]) => count > 0 && id.startsWith(prefix))
    return { leases: Object.fromEntries(leases), upstream: upstream.underway() }
  }

  return {
    dev,
    upstream,
    baseURL: `${dev.edgeUrl}/v1`,
    apiKey: dev.apiKey,
    name,
    endpointOf,
    serve,
    replay,
    ask,
    askAndHear: async (...asked) => hear(await ask(...asked)),
    askThenVanish,
    inFlight,
    close: async () => {
      await upstream.close()
      if (own) {
        await own.stop()
        forgetHome(own.home)
        return
      }
      // The platform lives on for the next file, without anything that it would have to probe or publish; names alone cost nothing.
      for (const kind of ['aliases', 'endpoints']) {
        await each(
          made.filter((route) => route.startsWith(`${kind}/`)),
          (route) => admin(dev, 'DELETE', route),
        )
      }
    },
  }
}

/** The platform of the suite's globalSetup; null when a file runs without it. */
function sharedDev(): Dev | null {
  return (inject('dev') as Dev | undefined) ?? null
}

const isList = (given: Parameters<Gateway['serve']>[0]): given is readonly Script[] => Array.isArray(given)

const slugOf = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')

/** A few at a time: the admin API writes one row after the other anyway. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < items.length; from += 20) await Promise.all(items.slice(from, from + 20).map(work))
}
