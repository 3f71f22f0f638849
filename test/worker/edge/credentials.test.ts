// A request's whole way through the Worker to servers that want a credential: sealed in the snapshot, opened here, and nowhere else.

import { beforeAll, expect, it } from 'vitest'
import type { EndpointId, ModelName } from '../../../shared/ids.ts'
import { seal, sealKeyOf } from '../../../shared/sealed.ts'
import type { Endpoint } from '../../../shared/wire/snapshot.ts'
import { alias, endpoint, snapshotOf } from '../../support/snapshot.ts'
import { sageMakerKeys, sageMakerRegion, type Seen } from '../../support/upstream-scenarios.ts'
import { post, publish, testEnv } from './world.ts'

const canary = 'canary-6f1d2b7e-bearer'

const at = (model: string, so: Partial<Endpoint>): Endpoint =>
  endpoint(`${model}-1`, 'x', { model: model as ModelName, version: model as never, cell: `${model}@x` as Endpoint['cell'], ...so })

beforeAll(async () => {
  const key = await sealKeyOf(testEnv.CREDENTIAL_KEY ?? '')
  if (!key.ok) throw new Error(key.error)
  const sealed = (id: string, credential: object) => seal(JSON.stringify(credential), id as EndpointId, key.value)
  const endpoints = [
    at('guarded', { url: 'http://echo.test', credential: await sealed('guarded-1', { bearer: canary }) }),
    at('copied', { url: 'http://echo.test', credential: await sealed('guarded-1', { bearer: canary }) }),
    at('signed', {
      kind: 'sagemaker',
      url: 'https://sagemaker.test/endpoints/whole',
      options: { region: sageMakerRegion, targetVariant: 'blue' },
      credential: await sealed('signed-1', sageMakerKeys),
    }),
  ]
  await publish(
    snapshotOf(endpoints, {
      generation: 50,
      aliases: endpoints.map(({ model }) => alias({ model, stable: model as never })),
      fractions: Object.fromEntries(endpoints.map(({ model, cell }) => [model, { enam: [{ cell, fraction: 1, roundTripMs: 1 }] }])),
    }),
  )
})

const ask = (model: string) => post('/v1/chat/completions', { model, messages: [{ role: 'user', content: 'hi' }] })

it('a bearer reaches the server that it was sealed for; the caller’s own key does not', async () => {
  // The server tells what it was sent.
  const { seen } = await (await ask('guarded')).json<{ seen: { headers: Record<string, string> } }>()
  expect(seen.headers).toMatchObject({ authorization: `Bearer ${canary}`, 'user-agent': 'isochrone' })
})

it('a sealed text that was copied to another row is not sent, and the caller is told nothing of it', async () => {
  const refused = await ask('copied')
  expect(refused.status).toBeGreaterThanOrEqual(500)
  expect(JSON.stringify([await refused.text(), [...refused.headers]])).not.toContain(canary)
})

it('a SageMaker endpoint is invoked with a signature, under its variant', async () => {
  const answer = await ask('signed')
  expect(JSON.stringify([await answer.text(), [...answer.headers]])).not.toMatch(/canary/)
  const seen = await (await fetch('https://sagemaker.test/seen')).json<Seen[]>()
  expect(seen.at(-1)).toMatchObject({
    path: '/endpoints/whole/invocations',
    headers: { 'x-amzn-sagemaker-target-variant': 'blue', 'content-type': 'application/json' },
  })
})
