// cli/engine/control.ts — the control port: faults and state, apart from the main port so that no fault can lock its master out.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Door } from './door.ts'
import { gauges, type Engine } from './engine.ts'
import { noFaults, readFaults, type Faults } from './faults.ts'
import { internal, invalid, routeNotFound, wrongMethod } from './refuse.ts'
import { keepAliveMs, openWire, readJson, type Wire } from './wire.ts'

/** Builds the server; the caller listens. */
export function openControl(engine: Engine, door: Door): Server {
  const under = { engine, door }
  return createServer({ keepAliveTimeout: keepAliveMs }, (request, response) => void exchange(request, response, under))
}

type Under = { readonly engine: Engine; readonly door: Door }

async function exchange(request: IncomingMessage, response: ServerResponse, under: Under): Promise<void> {
  const wire = openWire(request, response)
  try {
    await follow(request, wire, under)
  } catch (error) {
    under.engine.log(
      `control ${request.method} ${request.url} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    )
    wire.refuse(internal())
  }
}

async function follow(request: IncomingMessage, wire: Wire, under: Under): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://engine')
  const method = request.method ?? 'GET'
  switch (pathname) {
    case '/state':
      return method === 'GET' ? wire.json(200, await state(under.engine)) : wire.refuse(wrongMethod(method, pathname, 'GET'))
    case '/faults':
      return faults(method, request, wire, under)
    default:
      return wire.refuse(routeNotFound(method, pathname))
  }
}

async function faults(method: string, request: IncomingMessage, wire: Wire, under: Under): Promise<void> {
  switch (method) {
    case 'GET':
      return wire.json(200, under.engine.faults.current())
    case 'DELETE':
      await put(noFaults, under)
      return wire.json(200, noFaults)
    case 'PUT': {
      const body = await readJson(request)
      if (body === null) return
      if (!body.ok) return wire.refuse(body.refusal)
      const read = readFaults(body.value)
      if (!read.ok) return wire.refuse(invalid(read.problem.message, read.problem.param))
      await put(read.value, under)
      return wire.json(200, read.value)
    }
    default:
      return wire.refuse(wrongMethod(method, '/faults', 'GET, PUT, DELETE'))
  }
}

/** In force when this resolves. */
async function put(next: Faults, { engine, door }: Under): Promise<void> {
  engine.faults.set(next)
  await door.setOpen(!next.closed)
}

async function state(engine: Engine): Promise<object> {
  const { processing, deferred } = gauges(engine)
  const { served, refused, aborted } = engine.tally
  return {
    isReady: engine.isReady,
    inFlight: engine.inFlight,
    processing,
    deferred,
    served,
    refused,
    aborted,
    models: await engine.models.index(),
    faults: engine.faults.current(),
  }
}
