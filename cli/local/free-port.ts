// Whether a port can be had, asked before anything is started; and any port that can.

import { createServer } from 'node:net'
import { Stop } from './stop.ts'

/** Throws Stop when somebody listens on the port already. */
export function requireFree(port: number, variable: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const server = createServer()
  server.once('error', () => reject(new Stop(`port ${port} is in use. Choose another: ${variable}=${port + 10} npm start`)))
  server.listen(port, '127.0.0.1', () => server.close(() => resolve()))
  return promise
}

/** A port nobody listens on now. */
export function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const server = createServer().once('error', reject)
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
  })
  return promise
}
