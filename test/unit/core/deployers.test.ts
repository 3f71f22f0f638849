// Deployers against servers on loopback: repositories that speak as Triton, MLServer and gateways do, a control plane of SageMaker's that
// verifies signatures and keeps state, and whoever is told by a webhook.

import { Webhook } from 'standardwebhooks'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { DeployProgress, DeployTarget } from '../../../core/ports.ts'
import { readEndpointCredential } from '../../../shared/endpoint-credential.ts'
import { open } from '../../../shared/sealed.ts'
import { serve, type LocalServer, type Play } from '../../support/http-server.ts'
import { sageMakerControl, type ControlPlane } from '../../support/sagemaker-control.ts'
import { deployedVersion, deployersWith, endpointNamed, keyOf, sealed, targetAt } from '../../support/deploy-targets.ts'

const opened: LocalServer[] = []
async function server(play: Play): Promise<LocalServer> {
  const made = await serve(play)
  opened.push(made)
  return made
}
afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()))
})

const v2 = deployedVersion('atlas-2')
const said = (progress: DeployProgress) => [progress.state, progress.detail]

/** A repository of which each answer is scripted: index, load, unload. */
type Script = {
  readonly index: readonly unknown[]
  readonly load?: readonly [status: number, body: unknown]
  readonly unload?: readonly [status: number, body: unknown]
}
const repository = ({ index, load = [200, ''], unload = [200, ''] }: Script) => {
  let asked = 0
  return server((request, response) => {
    const answer = request.path.endsWith('/index')
      ? [200, index[Math.min(asked++, index.length - 1)]]
      : request.path.endsWith('/unload')
        ? unload
        : load
    const [status, body] = answer as readonly [number, unknown]
    response.writeHead(status, { 'content-type': 'application/json' }).end(typeof body === 'string' ? body : JSON.stringify(body))
  })
}
const row = (state: string | undefined, more: object = {}) => ({ name: 'atlas-2', version: '1', state, reason: '', ...more })
const paths = (of: LocalServer) => of.seen.map(({ method, path }) => `${method} ${path}`)

describe('a model repository', () => {
  it('that has the version ready is asked for nothing more', async () => {
    const at = await repository({ index: [[row('UNAVAILABLE', { version: '1' }), row('READY', { version: '2' })]] })
    expect(await deployersWith().bring(targetAt(at.url), v2)).toMatchObject({ state: 'ready', servedName: 'atlas-2' })
    expect(paths(at)).toEqual(['POST /v2/repository/index'])
  })

  it('loads it under the name of its artefact, and is believed by its index alone', async () => {
    const name = { name: 'org/atlas 2' }
    const at = await repository({ index: [[], [row('READY', name)]] })
    const target = targetAt(at.url, { deploy: { url: `${at.url}/repo` } })
    expect(await deployersWith().bring(target, { ...v2, artifact: name.name })).toMatchObject({ state: 'ready', servedName: name.name })
    expect(paths(at)).toEqual([
      'POST /repo/v2/repository/index',
      'POST /repo/v2/repository/models/org%2Fatlas%202/load',
      'POST /repo/v2/repository/index',
    ])
  })

  it.each<readonly [string, Script, DeployProgress['state'], boolean | null, RegExp]>([
    ['loads', { index: [[row('LOADING')]] }, 'loading', null, /is loading it/],
    ['loads, and says so by gRPC’s shape', { index: [{ models: [row('loading')] }] }, 'loading', null, /is loading it/],
    ['still unloads it', { index: [[row('UNLOADING')]] }, 'loading', null, /unloading it/],
    ['has it no sooner than later', { index: [[row(undefined)], [row('LOADING')]] }, 'loading', null, /is loading it/],
    [
      'says it loaded, and has not',
      { index: [[], [row('UNAVAILABLE', { reason: 'out of memory' })]] },
      'failed',
      true,
      /not ready: out of memory/,
    ],
    // Triton.
    [
      'does not know it',
      { index: [[]], load: [400, { error: "failed to load 'atlas-2', failed to poll from model repository" }] },
      'failed',
      false,
      /answers 400: failed to load 'atlas-2', failed to poll/,
    ],
    ['is out of memory', { index: [[]], load: [400, { error: 'load failed: CUDA out of memory' }] }, 'failed', true, /out of memory/],
    // The local engine.
    [
      'has no room',
      { index: [[]], load: [400, { error: "model 'x' is not loaded: 2 models are in memory and no more are allowed" }] },
      'failed',
      true,
      /no more are allowed/,
    ],
    // MLServer, FastAPI.
    [
      'has no file yet',
      { index: [[]], load: [404, { error: 'Model atlas-2 not found' }] },
      'failed',
      true,
      /answers 404: Model atlas-2 not found/,
    ],
    ['refuses the caller', { index: [[]], load: [403, { detail: 'forbidden' }] }, 'failed', false, /answers 403: forbidden/],
    ['is locked', { index: [[]], load: [409, { error: { message: 'busy' } }] }, 'failed', true, /answers 409: busy/],
    ['breaks', { index: [[]], load: [503, '<html>down</html>'] }, 'failed', true, /answers 503$/],
    ['is none', { index: ['hello'] }, 'failed', false, /not the index of a model repository/],
    ['has a model of another name', { index: [[row('READY', { name: 'other' })], [row('READY')]] }, 'ready', null, /ready/],
  ])('that %s', async (_what, script, state, mayRetry, detail) => {
    const progress = await deployersWith().bring(targetAt((await repository(script)).url), v2)
    expect(progress.state).toBe(state)
    expect(progress.detail).toMatch(detail)
    if (mayRetry !== null) expect(progress).toMatchObject({ mayRetry })
  })

  it.each<readonly [string, Script, DeployProgress['state'], readonly string[]]>([
    ['unloads at once', { index: [[row('READY')], [row('UNAVAILABLE', { reason: 'unloaded' })]] }, 'gone', ['index', 'unload', 'index']],
    ['unloads in the background', { index: [[row('READY')], [row('UNLOADING')]] }, 'loading', ['index', 'unload', 'index']],
    ['never had it', { index: [[]] }, 'gone', ['index']],
    ['has unloaded it', { index: [[row('UNAVAILABLE', { reason: 'unloaded' })]] }, 'gone', ['index']],
    ['is at it', { index: [[row('UNAVAILABLE', { reason: 'being unloaded' })]] }, 'loading', ['index']],
    ['will not', { index: [[row('READY')]], unload: [400, { error: 'explicit model control is off' }] }, 'failed', ['index', 'unload']],
  ])('asked to take it away, that %s', async (_what, script, state, asked) => {
    const at = await repository(script)
    expect((await deployersWith().remove(targetAt(at.url), v2)).state).toBe(state)
    expect(paths(at).map((path) => path.split('/').at(-1))).toEqual(asked)
  })

  it('is not followed elsewhere, and not called where nobody may', async () => {
    const at = await server((_asked, response) => void response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end())
    expect(await deployersWith().bring(targetAt(at.url), v2)).toMatchObject({
      state: 'failed',
      mayRetry: false,
      detail: expect.stringMatching(/redirect/),
    })
    const strict = deployersWith({ allowPrivate: false })
    expect(await strict.bring(targetAt(at.url), v2)).toMatchObject({
      state: 'failed',
      mayRetry: false,
      detail: expect.stringMatching(/not public \(loopback\)/),
    })
    expect(at.seen).toHaveLength(1)
  })

  it('that cannot be reached may be later', async () => {
    const at = await serve(() => undefined)
    await at.close()
    expect(await deployersWith().bring(targetAt(at.url), v2)).toMatchObject({ state: 'failed', mayRetry: true })
  })

  it.each<readonly [DeployTarget['kind'], object, string, string]>([
    ['openai', { bearer: 'a-bearer-token' }, 'authorization', 'Bearer a-bearer-token'],
    ['openai', { header: 'x-key', value: 'a-header-value' }, 'x-key', 'a-header-value'],
    ['anthropic', { apiKey: 'an-api-key-of-it' }, 'x-api-key', 'an-api-key-of-it'],
  ])('of kind %s is shown the target’s credential, and cannot show it to anybody else', async (kind, credential, header, value) => {
    const at = await server((asked, response) => void response.writeHead(500).end(JSON.stringify({ error: JSON.stringify(asked.headers) })))
    const target = targetAt(at.url, { kind, credential: await sealed('fra', credential) })
    const progress = await deployersWith().bring(target, v2)
    expect(at.seen[0]?.headers[header]).toBe(value)
    expect(progress.detail).toContain('[redacted]')
    expect(progress.detail).not.toContain(value)
  })
})

describe('a target’s credential', () => {
  it('is sealed anew for its endpoint, and opens nowhere else', async () => {
    const credential = { bearer: 'a-bearer-token' }
    const target = targetAt('http://127.0.0.1:1', { credential: await sealed('fra', credential) })
    const text = await deployersWith().credentialFor(target, endpointNamed('fra.atlas-2'))
    if (text === null) throw new Error('nothing was sealed')
    const key = await keyOf()
    const found = await open(text, endpointNamed('fra.atlas-2'), key)
    expect(found.ok && readEndpointCredential('openai', JSON.parse(found.value))).toEqual({ ok: true, value: credential })
    expect(await open(text, endpointNamed('other'), key)).toEqual({ ok: false, error: 'not_authentic' })
    expect(await open(text, endpointNamed('target:fra'), key)).toEqual({ ok: false, error: 'not_authentic' })
  })

  it('that is none, or of another target, or under another secret, gives none', async () => {
    const credential = await sealed('other', { bearer: 'a-bearer-token' })
    const id = endpointNamed('fra.atlas-2')
    expect(await deployersWith().credentialFor(targetAt('http://x'), id)).toBeNull()
    expect(await deployersWith().credentialFor(targetAt('http://x', { credential }), id)).toBeNull()
    expect(await deployersWith({ credentialKey: undefined }).credentialFor(targetAt('http://x', { credential }), id)).toBeNull()
    for (const [key, words] of [
      ['another-credential-key-of-32-characters', /not_authentic/],
      [undefined, /no CREDENTIAL_KEY/],
    ] as const) {
      const progress = await deployersWith({ credentialKey: key }).bring(targetAt('http://127.0.0.1:1', { credential }), v2)
      expect(progress).toMatchObject({ state: 'failed', mayRetry: false, detail: expect.stringMatching(words) })
    }
  })
})

describe('SageMaker', () => {
  const keys = {
    accessKeyId: 'AKIATEST000000000001',
    secretAccessKey: 'a-secret-access-key-for-tests',
    sessionToken: 'a-session-token-for-tests',
  }
  const region = 'eu-central-1'
  let control: ControlPlane
  beforeAll(async () => {
    control = await sageMakerControl(keys, region)
  })
  afterAll(() => control.close())

  async function target(so: { readonly deploy?: DeployTarget['deploy']; readonly keys?: object } = {}): Promise<DeployTarget> {
    return targetAt(`${control.url}/endpoints/atlas`, {
      deployer: 'sagemaker',
      kind: 'sagemaker',
      options: { region },
      deploy: so.deploy ?? {},
      credential: await sealed('fra', { ...keys, ...so.keys }),
    })
  }
  const furnish = (so: Partial<Parameters<ControlPlane['endpoints']['set']>[1]> = {}) => {
    control.configs.clear()
    control.configs.set('config-1', { blue: 1 }).set('config-2', { blue: 1, green: 0 })
    control.broken.clear()
    control.faults.length = 0
    control.calls.length = 0
    control.endpoints.clear()
    control.endpoints.set('atlas', { config: 'config-1', status: 'InService', weights: { blue: 3 }, describesPerChange: 1, ...so })
  }
  const version = deployedVersion('atlas-2', { artifact: 'config-2', flags: { 'served-model-name': 'atlas-chat' } })
  /** Asks until something other than loading is said. */
  async function until(ask: () => Promise<DeployProgress>): Promise<{ readonly last: DeployProgress; readonly asked: number }> {
    for (let asked = 1; asked < 20; asked++) {
      const last = await ask()
      if (last.state !== 'loading') return { last, asked }
    }
    throw new Error('it does not come to an end')
  }

  it('moves the endpoint to the version’s configuration, and keeps what was set of its variants', async () => {
    furnish()
    const at = await target()
    const { last } = await until(() => deployersWith().bring(at, version))
    expect(last).toEqual({ state: 'ready', detail: 'InService with config-2', servedName: 'atlas-chat' })
    expect(control.endpoints.get('atlas')).toMatchObject({ config: 'config-2', weights: { blue: 3, green: 0 } })
    expect(control.calls.filter((call) => call !== 'DescribeEndpoint')).toEqual(['UpdateEndpoint'])
  })

  it('gives the variant that the target names its weight, and takes it away again', async () => {
    furnish()
    const at = await target({ deploy: { variant: 'green' } })
    expect((await until(() => deployersWith().bring(at, version))).last.state).toBe('ready')
    expect(control.endpoints.get('atlas')?.weights).toEqual({ blue: 3, green: 1 })
    expect((await until(() => deployersWith().remove(at, version))).last.state).toBe('gone')
    expect(control.endpoints.get('atlas')).toMatchObject({ config: 'config-2', weights: { blue: 3, green: 0 } })
    expect(control.calls.filter((call) => call !== 'DescribeEndpoint')).toEqual([
      'UpdateEndpoint',
      'UpdateEndpointWeightsAndCapacities',
      'UpdateEndpointWeightsAndCapacities',
    ])
  })

  it('asks for nothing while the endpoint is moving', async () => {
    for (const status of ['Creating', 'Updating', 'SystemUpdating', 'RollingBack']) {
      furnish({ status })
      expect(said(await deployersWith().bring(await target(), version))).toEqual(['loading', `the endpoint is ${status}`])
      expect(said(await deployersWith().remove(await target(), version))).toEqual(['loading', `the endpoint is ${status}`])
      expect(control.calls).toEqual(['DescribeEndpoint', 'DescribeEndpoint'])
    }
  })

  it('leaves alone what is another version’s', async () => {
    furnish()
    expect(await deployersWith().remove(await target({ deploy: { variant: 'blue' } }), version)).toMatchObject({ state: 'gone' })
    expect(control.endpoints.get('atlas')?.weights).toEqual({ blue: 3 })
  })

  it('says why the endpoint failed', async () => {
    furnish({ status: 'Failed', failureReason: 'The primary container did not pass the ping health check.' })
    expect(await deployersWith().bring(await target(), version)).toEqual({
      state: 'failed',
      detail: 'the endpoint is Failed: The primary container did not pass the ping health check.',
      mayRetry: false,
    })
  })

  it('that rolls back is asked again, and ready is never said of another configuration', async () => {
    furnish()
    control.broken.add('config-2')
    const at = await target()
    for (let asked = 0; asked < 10; asked++) expect((await deployersWith().bring(at, version)).state).toBe('loading')
    expect(control.endpoints.get('atlas')?.config).toBe('config-1')
  })

  it.each<readonly [string, () => void, DeployTarget['deploy'], RegExp, boolean]>([
    ['has no such endpoint', () => control.endpoints.clear(), {}, /there is no endpoint atlas/, false],
    [
      'has no such configuration',
      () => control.configs.delete('config-2'),
      {},
      /UpdateEndpoint: .*400 ValidationException: Could not find endpoint configuration "config-2"/,
      false,
    ],
    ['has no such variant', () => furnish({ config: 'config-2' }), { variant: 'red' }, /has no variant red/, false],
    [
      'throttles',
      () => void control.faults.push({ status: 400, type: 'ThrottlingException', message: 'Rate exceeded' }),
      {},
      /ThrottlingException: Rate exceeded/,
      true,
    ],
    [
      'denies',
      () => void control.faults.push({ status: 400, type: 'AccessDeniedException', message: 'not authorized' }),
      {},
      /AccessDeniedException: not authorized/,
      false,
    ],
    ['breaks', () => void control.faults.push({ status: 500, type: 'InternalFailure' }), {}, /500 InternalFailure/, true],
  ])('that %s', async (_what, arrange, deploy, detail, mayRetry) => {
    furnish()
    arrange()
    const progress = await deployersWith().bring(await target({ deploy }), version)
    expect(progress).toMatchObject({ state: 'failed', detail: expect.stringMatching(detail), mayRetry })
  })

  it('that somebody else has begun to change at that moment is waited for', async () => {
    furnish()
    const message = 'Cannot update in-progress endpoint "atlas".'
    control.faults.push({ of: 'UpdateEndpoint', status: 400, type: 'ValidationException', message })
    expect(said(await deployersWith().bring(await target(), version))).toEqual([
      'loading',
      `UpdateEndpoint: the service answers 400 ValidationException: ${message}`,
    ])
    expect((await until(async () => deployersWith().bring(await target(), version))).last.state).toBe('ready')
  })

  it('with a wrong key says so without showing what was signed', async () => {
    furnish()
    const progress = await deployersWith().bring(await target({ keys: { secretAccessKey: 'another-secret-access-key' } }), version)
    expect(progress).toMatchObject({
      state: 'failed',
      mayRetry: false,
      detail: 'DescribeEndpoint: the service answers 400 InvalidSignatureException',
    })
  })

  it('is not called with a credential that is none of AWS, or none at all', async () => {
    furnish()
    const at = await target()
    for (const credential of [null, await sealed('fra', { bearer: 'a-bearer-token' })]) {
      expect(await deployersWith().bring({ ...at, credential }, version)).toMatchObject({ state: 'failed', mayRetry: false })
    }
    expect(control.calls).toEqual([])
  })

  it('is found under the names that the target’s options give', async () => {
    furnish({ config: 'config-2' })
    const at = {
      ...(await target({ deploy: { url: control.url, endpointName: 'atlas', region } })),
      url: 'https://elsewhere.test/endpoints/other',
    }
    expect(await deployersWith().bring(at, version)).toMatchObject({ state: 'ready' })
  })
})

describe('whoever is told by a webhook', () => {
  const secret = `whsec_${Buffer.from('a secret of thirty-two characters').toString('base64')}`
  const told = async (at: LocalServer, so: Partial<DeployTarget> = {}) =>
    targetAt('http://server.test', {
      deployer: 'webhook',
      deploy: { webhookUrl: `${at.url}/hook` },
      credential: await sealed('fra', { bearer: secret }),
      ...so,
    })
  const answering = (status: number, headers: Readonly<Record<string, string>> = {}) =>
    server((_asked, response) => void response.writeHead(status, headers).end('{}'))

  it('hears what is wanted, signed so that a library of others verifies it, and where to report', async () => {
    const at = await answering(202)
    expect(await deployersWith().bring(await told(at), { ...v2, flags: { tp: 2 } })).toMatchObject({ state: 'loading' })
    const asked = at.seen[0]
    if (!asked) throw new Error('nobody was told')
    expect(new Webhook(secret).verify(asked.body, asked.headers)).toMatchObject({
      type: 'deployment.wanted',
      data: {
        target: 'fra',
        version: 'atlas-2',
        model: 'atlas',
        artifact: null,
        digest: v2.digest,
        flags: { tp: 2 },
        servedName: 'atlas-2',
        url: 'http://server.test',
        reportUrl: 'https://core.test/hooks/v1/deployments/fra/atlas-2',
      },
    })
    expect(asked.body).not.toContain(secret)
  })

  it('hears what is not wanted any more, each time as a telling of its own', async () => {
    const at = await answering(200)
    const target = await told(at)
    const without = deployersWith({ coreUrl: null })
    await without.remove(target, v2)
    await without.remove(target, v2)
    expect(at.seen.map(({ body }) => JSON.parse(body) as unknown)).toMatchObject(
      Array.from({ length: 2 }, () => ({
        type: 'deployment.unwanted',
        data: { reportUrl: null, reportPath: '/hooks/v1/deployments/fra/atlas-2' },
      })),
    )
    expect(new Set(at.seen.map(({ headers }) => headers['webhook-id'])).size).toBe(2)
  })

  it.each<readonly [number, boolean]>([
    [500, true],
    [503, true],
    [429, true],
    [404, true],
    [400, false],
    [401, false],
    [410, false],
    [302, false],
  ])('and answers %i: tried again %s', async (status, mayRetry) => {
    const at = await answering(status, status === 302 ? { location: '/stolen' } : {})
    expect(await deployersWith().bring(await told(at), v2)).toMatchObject({ state: 'failed', mayRetry })
    expect(at.seen).toHaveLength(1)
  })

  it('cannot be told without an address or a secret', async () => {
    const at = await answering(200)
    for (const so of [{ deploy: {} }, { credential: null }]) {
      expect(await deployersWith().bring(await told(at, so), v2)).toMatchObject({ state: 'failed', mayRetry: false })
    }
    expect(at.seen).toEqual([])
  })
})
