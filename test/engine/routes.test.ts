// Method and path to route.
import { expect, it } from 'vitest'
import { routeOf } from '../../cli/engine/routes.ts'

it.each([
  ['POST', '/v1/chat/completions', { kind: 'chat' }],
  ['GET', '/v1/chat/completions', { kind: 'wrong-method', allow: 'POST' }],
  ['GET', '/v1/health', { kind: 'health' }],
  ['GET', '/v1/models/atlas-2.q8_0', { kind: 'model', name: 'atlas-2.q8_0' }],
  ['POST', '/v2/repository/models/atlas-1.q8_0/load', { kind: 'load', name: 'atlas-1.q8_0' }],
  ['GET', '/v2/repository/models/atlas-1.q8_0/load', { kind: 'wrong-method', allow: 'POST' }],
  ['POST', '/v2/repository/models/..%2F..%2Fsecret/load', { kind: 'load', name: '../../secret' }],
  ['POST', '/v2/repository/models/%ff/load', { kind: 'not-found' }],
  ['GET', '/v2', { kind: 'server' }],
  ['GET', '/v2/models/a', { kind: 'metadata', name: 'a', version: null }],
  ['GET', '/v2/models/a%2Fb/versions/1', { kind: 'metadata', name: 'a/b', version: '1' }],
  ['GET', '/v2/models/a/ready', { kind: 'model-ready', name: 'a', version: null }],
  ['GET', '/v2/models/a/versions/1/ready', { kind: 'model-ready', name: 'a', version: '1' }],
  ['POST', '/v2/models/a/infer', { kind: 'infer', name: 'a', version: null }],
  ['POST', '/v2/models/a/versions/2/infer', { kind: 'infer', name: 'a', version: '2' }],
  ['POST', '/v2/models/a/generate', { kind: 'generate', name: 'a', version: null }],
  ['POST', '/v2/models/a/versions/1/generate_stream', { kind: 'generate-stream', name: 'a', version: '1' }],
  ['POST', '/v2/models/a', { kind: 'wrong-method', allow: 'GET' }],
  ['POST', '/v2/models/a/versions/%ff/infer', { kind: 'not-found' }],
  ['POST', '/v2/models/a/versions/infer', { kind: 'wrong-method', allow: 'GET' }],
  ['POST', '/v2/models/a/b/infer', { kind: 'not-found' }],
  ['GET', '/', { kind: 'not-found' }],
  ['GET', '/constructor', { kind: 'not-found' }],
])('%s %s', (method, path, route) => {
  expect(routeOf(method, path)).toEqual(route)
})
