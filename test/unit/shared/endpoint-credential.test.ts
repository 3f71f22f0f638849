import { describe, expect, it } from 'vitest'
import { readEndpointCredential, secretsOf } from '../../../shared/endpoint-credential.ts'
import { endpointKinds, type EndpointKind } from '../../../shared/operations.ts'

const aws = { accessKeyId: 'AKIACANARY0000000001', secretAccessKey: 'canary-secret' }

describe('credentials of endpoints', () => {
  it.each<readonly [EndpointKind, object, readonly string[]]>([
    ['openai', { bearer: 'canary-1' }, ['canary-1']],
    ['openai', { header: 'x-key', value: 'canary-1' }, ['canary-1', 'canary-1']],
    ['open_inference', { bearer: 'canary-1' }, ['canary-1']],
    ['open_inference', { header: 'authorization', value: 'Basic canary-1' }, ['Basic canary-1', 'canary-1']],
    ['anthropic', { apiKey: 'canary-1' }, ['canary-1']],
    ['sagemaker', aws, ['canary-secret']],
    ['sagemaker', { ...aws, sessionToken: 'canary-token' }, ['canary-secret', 'canary-token']],
  ])('%s takes %j', (kind, credential, secrets) => {
    const read = readEndpointCredential(kind, credential)
    expect(read).toEqual({ ok: true, value: credential })
    expect(read.ok && secretsOf(read.value)).toEqual(secrets)
  })

  it('a header is kept in lower case', () => {
    expect(readEndpointCredential('openai', { header: 'X-Key', value: 'canary-1' })).toMatchObject({ value: { header: 'x-key' } })
  })

  it.each<readonly [EndpointKind, unknown, string]>([
    ['openai', 'canary-1', ''],
    ['openai', ['canary-1'], 'bearer'],
    ['openai', {}, 'bearer'],
    ['openai', { apiKey: 'canary-1' }, 'bearer'],
    ['openai', { bearer: 'canary-1', 'canary-2': 1 }, ''],
    ['openai', { bearer: 'canary-1', header: 'x-key', value: 'canary-1' }, ''],
    ['openai', { bearer: 7 }, 'bearer'],
    ['openai', { bearer: 'canary' }, 'bearer'],
    ['openai', { bearer: 'canary with spaces' }, 'bearer'],
    ['openai', { bearer: 'canary-1\r\nx: y' }, 'bearer'],
    ['openai', { bearer: 'canary-ü-1' }, 'bearer'],
    ['openai', { bearer: `canary${'y'.repeat(8_192)}` }, 'bearer'],
    ['openai', { header: 'x-key' }, 'value'],
    ['openai', { header: 'x canary', value: 'canary-1' }, 'header'],
    ['openai', { header: 'Host', value: 'canary-1' }, 'header'],
    ['openai', { header: 'content-type', value: 'canary-1' }, 'header'],
    ['openai', { header: 'transfer-encoding', value: 'canary-1' }, 'header'],
    ['openai', { header: 'x-key', value: 'canary-1\n' }, 'value'],
    ['anthropic', { bearer: 'canary-1' }, 'apiKey'],
    ['anthropic', { apiKey: '' }, 'apiKey'],
    ['open_inference', aws, 'bearer'],
    ['sagemaker', { bearer: 'canary-1' }, 'accessKeyId'],
    ['sagemaker', { ...aws, accessKeyId: 'canary' }, 'accessKeyId'],
    ['sagemaker', { ...aws, sessionToken: null }, 'sessionToken'],
    ['sagemaker', { accessKeyId: aws.accessKeyId }, 'secretAccessKey'],
  ])('%s refuses %j, names %j, and repeats nothing of it', (kind, credential, param) => {
    const read = readEndpointCredential(kind, credential)
    expect(read).toMatchObject({ ok: false, error: { param } })
    expect(JSON.stringify(read)).not.toMatch(/canary/i)
    expect(!read.ok && read.error.detail.length).toBeGreaterThan(5)
  })

  it.each(endpointKinds)('%s: null, undefined and numbers are no credential', (kind) => {
    for (const value of [null, undefined, 7, true]) expect(readEndpointCredential(kind, value).ok).toBe(false)
  })
})
