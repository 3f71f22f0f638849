import { createHmac } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { signWebhook, verifyWebhook } from '../../../shared/webhook-signature.ts'

const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const id = 'msg_p5jXN8AQM9LWM0D4loKWxJek'
const body = '{"test": 2432232314}'
const atMs = 1_614_265_330_000
const toleranceMs = 300_000

type Headers_ = Record<string, string>
const verify = (headers: Headers_, change: Partial<{ body: string; secret: string; nowMs: number }> = {}) =>
  verifyWebhook({ headers: new Headers(headers), body: change.body ?? body }, { secret, nowMs: atMs, toleranceMs, ...change })

describe('a signature', () => {
  it('is the one that the specification’s own libraries test for', async () => {
    expect(await signWebhook({ secret, id, atMs, body })).toEqual({
      'webhook-id': id,
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    })
  })

  it.each([
    ['base64 after whsec_', 'whsec_AQIDBA==', Buffer.from([1, 2, 3, 4])],
    ['a text as it is', 'plain é text', Buffer.from('plain é text')],
    ['what only looks like base64', 'whsec_%%%', Buffer.from('whsec_%%%')],
    ['nothing after whsec_', 'whsec_', Buffer.from('whsec_')],
  ])('takes a secret of %s for the same bytes as another implementation', async (_, text, key) => {
    const headers = await signWebhook({ secret: text, id: 'e', atMs: 1_999, body: 'é{}' })
    expect(headers['webhook-timestamp']).toBe('1')
    expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', key).update('e.1.é{}').digest('base64')}`)
  })

  it('is not made without a secret', async () => {
    await expect(signWebhook({ secret: '', id, atMs, body })).rejects.toThrow('secret')
  })
})

describe('verifying', () => {
  it('for all ids, bodies and secrets: takes what was signed, and nothing that was changed', async () => {
    const dotless = fc.stringMatching(/^[a-z0-9/_-]{1,40}$/)
    const word = fc.string({ minLength: 1 })
    await fc.assert(
      fc.asyncProperty(dotless, dotless, fc.string(), fc.string(), word, word, async (one, other, text, another, mine, theirs) => {
        const headers = await signWebhook({ secret: mine, id: one, atMs, body: text })
        expect(await verify(headers, { body: text, secret: mine })).toEqual({ ok: true, value: null })
        const refused = { ok: false, error: 'not_authentic' }
        if (another !== text) expect(await verify(headers, { body: another, secret: mine })).toEqual(refused)
        if (theirs !== mine) expect(await verify(headers, { body: text, secret: theirs })).toEqual(refused)
        if (other !== one) expect(await verify({ ...headers, 'webhook-id': other }, { body: text, secret: mine })).toEqual(refused)
        expect(await verify({ ...headers, 'webhook-timestamp': '1614265331' }, { body: text, secret: mine })).toEqual(refused)
      }),
    )
  })

  it('needs one good signature of several, of this scheme, among the first few', async () => {
    const headers = await signWebhook({ secret, id, atMs, body })
    const good = headers['webhook-signature'] ?? ''
    const bad = 'v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc='
    const told = (signatures: string) => verify({ ...headers, 'webhook-signature': signatures }).then(({ ok }) => ok)
    expect(await told(`${bad} v1a,xyz ${good} ${bad}`)).toBe(true)
    expect(await told(bad)).toBe(false)
    expect(await told(good.replace('v1', 'v2'))).toBe(false)
    expect(await told(good.slice(0, 8))).toBe(false)
    expect(await told('v1,')).toBe(false)
    expect(await told('')).toBe(false)
    expect(await told(`${`${bad} `.repeat(1_000)}${good}`)).toBe(false)
  })

  it.each([
    [toleranceMs, { ok: true, value: null }],
    [toleranceMs + 1, { ok: false, error: 'too_old' }],
    [-toleranceMs, { ok: true, value: null }],
    [-toleranceMs - 1, { ok: false, error: 'too_new' }],
  ])('after %d ms: %j', async (afterMs, expected) => {
    expect(await verify(await signWebhook({ secret, id, atMs, body }), { nowMs: atMs + afterMs })).toEqual(expected)
  })

  it.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'])('refuses what has no %s', async (name) => {
    const { [name]: _, ...headers } = await signWebhook({ secret, id, atMs, body })
    expect(await verify(headers)).toEqual({ ok: false, error: 'header_missing' })
  })

  it.each(['hello', '-5', '1614265330.0', '1e9', '0x60', '', '1'.repeat(13)])('refuses the timestamp %j', async (timestamp) => {
    const headers = await signWebhook({ secret, id, atMs, body })
    expect(await verify({ ...headers, 'webhook-timestamp': timestamp })).toEqual({ ok: false, error: 'malformed_timestamp' })
  })

  it('refuses an id with a full stop: the signed text could be split in another way', async () => {
    // Signed as id `a`, with a body that begins with digits.
    const headers = await signWebhook({ secret, id: 'a', atMs, body: '1614265330.x' })
    const shifted = { ...headers, 'webhook-id': `a.${headers['webhook-timestamp'] ?? ''}`, 'webhook-timestamp': '1614265330' }
    expect(await verify(shifted, { body: 'x' })).toEqual({ ok: false, error: 'malformed_id' })
    expect(await verify({ ...headers, 'webhook-id': '' })).toEqual({ ok: false, error: 'malformed_id' })
  })

  it('refuses everything where no secret is set', async () => {
    expect(await verify(await signWebhook({ secret, id, atMs, body }), { secret: '' })).toEqual({ ok: false, error: 'secret_missing' })
  })
})
