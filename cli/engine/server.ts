// cli/engine/server.ts — the main port: adds the network's latency, then does what the route says. Every answer starts here.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { modelBlock, modelList, modelMetadata, props, serverBlock, slotList } from './catalogue.ts'
import { findVersion, gauges, type Engine } from './engine.ts'
import { infer } from './inference.ts'
import { renderMetrics } from './metrics.ts'
import {
  injected,
  internal,
  loading,
  modelNotFound,
  noFreeSlot,
  repositoryError,
  routeNotFound,
  wrongMethod,
  type Result,
} from './refuse.ts'
import { isHealth, isOpenInference, routeOf, type Route } from './routes.ts'
import { flatWire, keepAliveMs, openWire, readJson, wait, type Wire } from './wire.ts'

/** Builds the server; the caller listens. */
export function openServer(engine: Engine): Server {
  return createServer({ keepAliveTimeout: keepAliveMs }, (request, response) => void exchange(request, response, engine))
}

async function exchange(request: IncomingMessage, response: ServerResponse, engine: Engine): Promise<void> {
  const opened = openWire(request, response)
  const wire = isOpenInference(request.url ?? '/') ? flatWire(opened) : opened
  try {
    const url = new URL(request.url ?? '/', 'http://engine')
    const route = routeOf(request.method ?? 'GET', url.pathname)
    const { latencyMs, healthLatencyMs } = engine.faults.current()
    await wait(latencyMs + (isHealth(route) ? healthLatencyMs : 0), wire.signal)
    if (!wire.signal.aborted) await follow(route, request, url, wire, engine)
  } catch (error) {
    engine.log(`${request.method} ${request.url} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    if (wire.hasBegun()) wire.cut()
    else wire.refuse(internal())
  }
}

async function follow(route: Route, request: IncomingMessage, url: URL, wire: Wire, engine: Engine): Promise<void> {
  const { models } = engine
  const loaded = models.loaded().map((one) => one.model)
  if (isHealth(route) && engine.faults.current().healthStatus !== null) return sickHealth(wire, engine)
  switch (route.kind) {
    case 'chat':
    case 'completions':
    case 'embeddings':
    case 'infer':
    case 'generate':
    case 'generate-stream':
      return infer(route, request, wire, engine)
    case 'models':
      return wire.json(200, modelList(loaded))
    case 'model': {
      const found = models.find(route.name)
      return found === null ? wire.refuse(modelNotFound(route.name)) : wire.json(200, modelBlock(found.model))
    }
    case 'health':
    case 'ready':
      return engine.isReady ? wire.json(200, { status: 'ok' }) : wire.refuse(loading())
    case 'live':
      return wire.json(200, { live: true })
    case 'server':
      return wire.json(200, serverBlock())
    case 'metadata': {
      const found = findVersion(engine, route)
      return found.ok ? wire.json(200, modelMetadata(found.value.model)) : wire.refuse(found.refusal)
    }
    case 'model-ready':
      return findVersion(engine, route).ok
        ? wire.json(200, { name: route.name, ready: true })
        : wire.refuse(repositoryError(`model '${route.name}' is not ready`, 404))
    case 'metrics': {
      const { metricsStatus } = engine.faults.current()
      if (metricsStatus !== null) return wire.refuse(injected(metricsStatus))
      return wire.text('text/plain; version=0.0.4', renderMetrics(engine.tally, gauges(engine)))
    }
    case 'slots': {
      const needsFree = url.searchParams.get('fail_on_no_slot') === '1'
      const hasFree = loaded.some((model) => model.slots.busy().includes(false))
      return needsFree && !hasFree ? wire.refuse(noFreeSlot()) : wire.json(200, slotList(loaded))
    }
    case 'props': {
      const first = models.find(engine.firstModel)
      return first === null ? wire.refuse(loading()) : wire.json(200, props(first.model, engine.temperature))
    }
    case 'index':
      return repositoryIndex(request, wire, engine)
    case 'load':
      return say(wire, await models.load(route.name))
    case 'unload':
      return say(wire, await models.unload(route.name))
    case 'not-found':
      return wire.refuse(routeNotFound(request.method ?? 'GET', url.pathname))
    case 'wrong-method':
      return wire.refuse(wrongMethod(request.method ?? 'GET', url.pathname, route.allow))
  }
}

function sickHealth(wire: Wire, engine: Engine): void {
  const status = engine.faults.current().healthStatus ?? 500
  wire.json(status, status < 400 ? { status: 'ok' } : { error: { message: 'Injected fault', type: 'unavailable_error', code: status } })
}

async function repositoryIndex(request: IncomingMessage, wire: Wire, engine: Engine): Promise<void> {
  const body = await readJson(request)
  if (body === null) return
  if (!body.ok) return wire.refuse(repositoryError('the body is not a JSON object of at most 10 MB'))
  const isReadyOnly = typeof body.value === 'object' && body.value !== null && 'ready' in body.value && body.value.ready === true
  const rows = await engine.models.index()
  wire.json(200, isReadyOnly ? rows.filter((row) => row.state === 'READY') : rows)
}

function say(wire: Wire, result: Result<null>): void {
  if (result.ok) wire.json(200, {})
  else wire.refuse(result.refusal)
}
