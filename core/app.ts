// Core over HTTP: the request's id, the operator's door, the admin API, what deployers report, health, and the last answers (404 and 500).

import { Hono } from 'hono'
import { hookRoutes } from './api/hooks.ts'
import { admit } from './api/operator.ts'
import { bug, problem } from './api/problem.ts'
import { adminRoutes, type AdminEnv } from './api/routes.ts'
import type { AdminPorts } from './ports.ts'

export type AdminApp = Hono<AdminEnv>

export function adminApp(ports: AdminPorts): AdminApp {
  const app = new Hono<AdminEnv>()

  // Every answer bears its request's id, refusals and bugs too.
  app.use(async function identify(c, next) {
    c.set('requestId', ports.freshId())
    await next()
    c.res.headers.set('x-request-id', c.get('requestId'))
  })

  app.get('/health', (c) => c.json({ status: 'ok' }))

  // Before the routes, so that a stranger does not learn which there are.
  app.use('/admin/*', async function letIn(c, next) {
    const admitted = await admit(c.req.header('authorization'), ports.operatorTokenSha256)
    if (!admitted.ok) return problem(admitted.error, c.get('requestId'))
    return next()
  })
  app.route('/admin/v1', adminRoutes(ports))
  // Each of these shows by its own signature who sent it.
  app.route('/hooks/v1', hookRoutes(ports))

  app.notFound((c) => problem({ reason: 'unknown_route', method: c.req.method, path: c.req.path }, c.get('requestId')))

  app.onError(function reportBug(error, c) {
    ports.log({
      message: 'core: a request failed',
      requestId: c.get('requestId'),
      method: c.req.method,
      path: c.req.path,
      error: chain(error),
    })
    return bug(c.get('requestId'))
  })
  return app
}

/** The messages of an error and of what caused it, outermost first. */
function chain(error: unknown): readonly string[] {
  const messages: string[] = []
  for (let cause = error; cause instanceof Error; cause = cause.cause) messages.push(cause.stack ?? cause.message)
  return messages
}
