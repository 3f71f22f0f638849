// The upstream contract in Node, for every kind of endpoint.

import { afterAll, beforeAll, describe } from 'vitest'
import type { EndpointKind } from '../../../shared/operations.ts'
import { httpServer, type LocalServer } from '../../support/http-server.ts'
import { sageMakerServer } from '../../support/sagemaker-server.ts'
import { endpoint } from '../../support/snapshot.ts'
import { sageMakerKeys as aws, sageMakerRegion as region, type Scenario, type Seen } from '../../support/upstream-scenarios.ts'
import { upstreamContract, type UpstreamWorld } from './upstream.contract.ts'

const canary = 'canary-6f1d2b7e-secret'

type Case = Pick<UpstreamWorld, 'name' | 'credential' | 'canaries' | 'bore'> & { readonly kind: EndpointKind }

const header =
  (name: string, value: string) =>
  (seen: Seen): boolean =>
    seen.headers[name] === value

const cases: readonly Case[] = [
  {
    name: 'openai, bearer',
    kind: 'openai',
    credential: { bearer: canary },
    canaries: [canary],
    bore: header('authorization', `Bearer ${canary}`),
  },
  {
    name: 'openai, a header of its own',
    kind: 'openai',
    credential: { header: 'X-Engine-Key', value: canary },
    canaries: [canary],
    bore: header('x-engine-key', canary),
  },
  { name: 'anthropic', kind: 'anthropic', credential: { apiKey: canary }, canaries: [canary], bore: header('x-api-key', canary) },
  {
    name: 'open_inference',
    kind: 'open_inference',
    credential: { header: 'authorization', value: `Basic ${canary}` },
    canaries: [canary],
    bore: header('authorization', `Basic ${canary}`),
  },
  {
    name: 'sagemaker',
    kind: 'sagemaker',
    credential: aws,
    canaries: [aws.secretAccessKey, aws.sessionToken],
    // The server refuses what is not signed with it.
    bore: (seen) => seen.headers['authorization']?.includes(`Credential=${aws.accessKeyId}/`) ?? false,
  },
]

describe.each(cases)('$name', ({ kind, ...so }) => {
  let server: LocalServer
  let deaf = ''
  beforeAll(async () => {
    server = await (kind === 'sagemaker' ? sageMakerServer(aws, region) : httpServer())
    // A port that was just free, and where nobody listens any more.
    const left = await httpServer()
    deaf = left.url
    await left.close()
  })
  afterAll(() => server.close())

  const urlOf = (base: string, scenario: Scenario) => `${base}/${kind === 'sagemaker' ? 'endpoints/' : ''}${scenario}`
  upstreamContract(
    () => ({
      ...so,
      endpoint: (scenario) =>
        endpoint(`e-${scenario}`, 'x', { kind, url: urlOf(server.url, scenario), options: kind === 'sagemaker' ? { region } : {} }),
      seen: () => Promise.resolve(server.seen),
      deaf: (scenario) => urlOf(deaf, scenario),
      seesLeaving: true,
      seesCuts: true,
    }),
    so.name,
  )
})
