// Posting from Node to a real server on loopback.

import { createServer } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { afterAll, beforeAll } from 'vitest'
import { posterContract } from '../../contract/core/poster.ts'
import { serve, type LocalServer } from '../../support/http-server.ts'
import { receive } from '../../support/webhook-receiver.ts'

let server: LocalServer | null = null
let deaf = ''

beforeAll(async () => {
  server = await serve(({ method, path, headers, body }, response) => {
    const reply = receive({ method, url: `http://receiver.test${path}`, headers: new Headers(headers), body })
    if (!reply) return
    response.writeHead(reply.status, reply.headers)
    if (reply.body) Readable.fromWeb(reply.body as never).pipe(response)
    else response.end()
  })
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  deaf = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
  other.close()
})
afterAll(async () => server?.close())

posterContract('in Node', { url: () => server?.url ?? '', deaf: () => deaf })
