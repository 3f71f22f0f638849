// DescribeEndpoint against a stand-in that verifies the signature: what becomes of each answer, and of those that are none.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { controlPlaneOf, describeEndpoint } from '../../../edge/adapters/sagemaker-status.ts'
import { limits } from '../../../shared/limits.ts'
import { readSageMakerUrl } from '../../../shared/sagemaker.ts'
import type { ServiceStatus } from '../../../shared/wire/probe.ts'
import type { LocalServer } from '../../support/http-server.ts'
import { sageMakerServer } from '../../support/sagemaker-server.ts'

const keys = {
  accessKeyId: 'AKIATEST000000000001',
  secretAccessKey: 'a-secret-access-key-for-tests',
  sessionToken: 'a-session-token-for-tests',
}
const region = 'eu-central-1'

let server: LocalServer
beforeAll(async () => {
  server = await sageMakerServer(keys, region)
})
afterAll(() => server.close())

type So = { readonly options?: Readonly<Record<string, string>>; readonly keys?: Partial<typeof keys>; readonly signal?: AbortSignal }

const ask = (name: string, { options = {}, keys: other = {}, signal = AbortSignal.timeout(10_000) }: So = {}) =>
  describeEndpoint({ url: `${server.url}/endpoints/${name}`, options: { region, ...options } }, { ...keys, ...other }, signal)

const status = (word: string, instances: number | null, instancesWanted: number | null): ServiceStatus => ({
  status: word,
  instances,
  instancesWanted,
})

describe('a status', () => {
  it.each<readonly [string, ServiceStatus]>([
    ['InService', status('InService', 4, 4)],
    ['Creating', status('Creating', null, null)],
    ['Updating', status('Updating', 4, 5)],
    ['SystemUpdating', status('SystemUpdating', 2, 2)],
    ['RollingBack', status('RollingBack', 2, 2)],
    ['Failed', status('Failed', null, null)],
    ['OutOfService', status('OutOfService', 0, 1)],
    ['Deleting', status('Deleting', 1, 0)],
    // Instances that it does not have, and counts that are none, are not told.
    ['serverless', status('InService', null, null)],
    ['absurd', status('InService', 2, 2)],
  ])('%s, with the instances of all variants', async (name, told) => {
    expect(await ask(name)).toEqual({ ok: true, value: told })
  })

  it('of the targeted variant alone, where one is', async () => {
    expect(await ask('Updating', { options: { targetVariant: 'green' } })).toEqual({ ok: true, value: status('Updating', 1, 4) })
    expect(await ask('Updating', { options: { targetVariant: 'gone' } })).toEqual({ ok: true, value: status('Updating', null, null) })
  })

  it('is asked for once, with nothing but the name', async () => {
    const before = server.seen.length
    await ask('InService')
    expect(server.seen.slice(before)).toMatchObject([{ method: 'POST', path: '/', body: '{"EndpointName":"InService"}' }])
    expect(server.seen.at(-1)?.headers['authorization']).toContain(`/${region}/sagemaker/aws4_request`)
  })
})

describe('an endpoint that was deleted', () => {
  it('has a status too, for the service says 400 to it as to any bad question', async () => {
    expect(await ask('nowhere')).toEqual({ ok: true, value: { status: 'NotFound', instances: null, instancesWanted: null } })
  })
})

describe('no status', () => {
  it.each<readonly [string, number, string]>([
    ['throttled', 400, 'the service answers 400 ThrottlingException: Rate exceeded'],
    ['denied', 400, 'the service answers 400 AccessDeniedException: User: arn:aws:iam::1:user/edge is not authorized'],
    ['html', 200, "the service's answer is not an endpoint's description"],
    ['html-502', 502, 'the service answers 502'],
    ['giant', 200, `the service's answer has more than ${limits.statusBytesMax} bytes`],
    ['moved', 302, 'the service answers with a redirect (302), and redirects are not followed'],
  ])('%s', async (name, answered, words) => {
    const before = server.seen.length
    const told = await ask(name)
    expect(told).toMatchObject({ ok: false, error: { status: answered, detail: expect.stringContaining(words) as string } })
    if (!told.ok) expect(told.error.detail.length).toBeLessThanOrEqual(200)
    expect(server.seen).toHaveLength(before + 1)
  })

  it.each<readonly [string, Partial<typeof keys>]>([
    ['InvalidSignatureException', { secretAccessKey: 'another-secret-access-key' }],
    ['UnrecognizedClientException', { accessKeyId: 'AKIATEST000000000002' }],
    ['UnrecognizedClientException', { sessionToken: 'another-session-token' }],
  ])('with wrong keys, %s in words that show no secret', async (name, wrong) => {
    const told = await ask('InService', { keys: wrong })
    expect(told).toMatchObject({ ok: false, error: { status: 400, detail: expect.stringContaining(`400 ${name}`) as string } })
    expect(JSON.stringify(told)).not.toMatch(/access-key|session-token|Signature=/)
  })

  it('in a region that the signature was not made for', async () => {
    expect(await ask('InService', { options: { region: 'us-east-1' } })).toMatchObject({
      ok: false,
      error: { detail: expect.stringContaining('InvalidSignatureException') as string },
    })
  })

  it('from a server that never answers, one that is not there, and a url that names no endpoint', async () => {
    const gone = await sageMakerServer(keys, region)
    await gone.close()
    const url = `${gone.url}/endpoints/x`
    expect(await ask('silent', { signal: AbortSignal.timeout(100) })).toMatchObject({ ok: false, error: { status: null } })
    expect(await describeEndpoint({ url, options: { region } }, keys, AbortSignal.timeout(5_000))).toMatchObject({
      ok: false,
      error: { status: null },
    })
    expect(await describeEndpoint({ url: gone.url, options: { region } }, keys, AbortSignal.timeout(5_000))).toMatchObject({
      ok: false,
      error: { status: null, detail: expect.stringContaining('no_endpoint_name') as string },
    })
  })
})

describe('the control plane', () => {
  it.each([
    ['https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/x', 'https://api.sagemaker.eu-west-1.amazonaws.com/'],
    ['https://runtime-fips.sagemaker.us-east-1.amazonaws.com/endpoints/x', 'https://api-fips.sagemaker.us-east-1.amazonaws.com/'],
    ['https://runtime.sagemaker.cn-north-1.amazonaws.com.cn/endpoints/x', 'https://api.sagemaker.cn-north-1.amazonaws.com.cn/'],
    ['https://vpce-1.runtime.sagemaker.eu-west-1.vpce.amazonaws.com/endpoints/x', 'https://api.sagemaker.eu-west-1.amazonaws.com/'],
    ['http://localhost:4566/aws/endpoints/x', 'http://localhost:4566/'],
    ['https://amazonaws.com.example.org/endpoints/x', 'https://amazonaws.com.example.org/'],
  ])('of %s is %s', (url, control) => {
    const place = readSageMakerUrl(url, url.includes('.amazonaws.com/') || url.includes('.cn/') ? undefined : region)
    expect(place.ok ? controlPlaneOf(place.value) : place.error).toBe(control)
  })
})
