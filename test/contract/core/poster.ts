// The contract of posting to servers of others. The receiver behind it plays a scenario by the path (test/support/webhook-receiver.ts).
// Runs in Node against a server on loopback, and in workerd.

import { describe, expect, it } from 'vitest'
import { poster } from '../../../core/adapters/poster.ts'
import { limits } from '../../../shared/limits.ts'

export type PosterWorld = {
  /** `http://host[:port]` */
  readonly url: () => string
  /** An address where nobody listens; null where that cannot be had. */
  readonly deaf: (() => string) | null
}

export function posterContract(name: string, world: PosterWorld): void {
  const post = (scenario: string, withinMs = 5_000) =>
    poster(true).post({
      url: `${world.url()}/${scenario}`,
      headers: { 'content-type': 'application/json', 'webhook-id': 'e1' },
      body: '{"text":"ü"}',
      withinMs,
    })

  describe(`${name}: posting`, () => {
    it('brings method, headers and body there, and gives what was answered', async () => {
      const seen = { method: 'POST', path: '/echo?to=x', id: 'e1', type: 'application/json', body: '{"text":"ü"}' }
      expect(await post('echo?to=x')).toEqual({ status: 418, error: `answered 418: ${JSON.stringify(seen)}`, retryAfterMs: null })
    })

    it('gives a success without waiting for its body to end', async () => {
      expect(await post('endless-200')).toEqual({ status: 200, error: null, retryAfterMs: null })
      expect(await post('empty-204')).toEqual({ status: 204, error: null, retryAfterMs: null })
    })

    it('does not follow a redirect', async () => {
      expect(await post('redirect')).toEqual({
        status: 307,
        error: 'answered with a redirect (307), and redirects are not followed',
        retryAfterMs: null,
      })
    })

    it('reads seconds and dates of Retry-After, and nothing else', async () => {
      expect(await post('busy-7')).toMatchObject({ status: 429, error: 'answered 429', retryAfterMs: 7_000 })
      expect(await post('busy-Fri, 01 Jan 2010 00:00:00 GMT')).toMatchObject({ status: 429, retryAfterMs: 0 })
      const { retryAfterMs } = await post('busy-Fri, 01 Jan 2100 00:00:00 GMT')
      expect(retryAfterMs).toBeGreaterThan(limits.deliveryRetryAfterMsMax)
      expect(await post('busy-soon')).toMatchObject({ status: 429, retryAfterMs: null })
    })

    it('keeps the beginning of an answer, on one line, however long it is and whether or not it ends', async () => {
      const { status, error } = await post('endless-500')
      expect(status).toBe(500)
      expect(error).toMatch(/^answered 500: no such no such [a-z ]+$/)
      expect(error?.length).toBeLessThanOrEqual(limits.deliveryErrorCharsMax + 20)
    })

    it('gives up in time on one that never answers', async () => {
      expect(await post('silent', 300)).toEqual({ status: null, error: 'no answer in 300 ms', retryAfterMs: null })
    })

    it('keeps the status of one that stops in the middle of its words', async () => {
      expect(await post('stuck-500', 500)).toMatchObject({ status: 500, error: expect.stringMatching(/^answered 500/) })
    })

    it.skipIf(world.deaf === null)(
      'says that nobody is there, without naming the address (skipped in workerd: its forwarder always listens)',
      async () => {
        const url = `${world.deaf?.() ?? ''}/secret`
        const answer = await poster(true).post({ url, headers: {}, body: '{}', withinMs: 5_000 })
        expect(answer).toMatchObject({ status: null, error: expect.any(String), retryAfterMs: null })
        expect(answer.error).not.toContain('secret')
      },
    )

    it.each([
      'http://127.0.0.1:1/x',
      'http://[::1]/x',
      'http://169.254.169.254/latest',
      'http://intern/x',
      'http://a.internal/',
      'ftp://a.example/',
    ])('does not post to %s where only public addresses are allowed', async (url) => {
      const answer = await poster(false).post({ url, headers: {}, body: '{}', withinMs: 5_000 })
      expect(answer).toMatchObject({ status: null, error: expect.stringContaining('not public') })
    })

    it.each(['not an address', ''])('takes %j for no answer', async (url) => {
      expect(await poster(true).post({ url, headers: {}, body: '{}', withinMs: 5_000 })).toMatchObject({ status: null, retryAfterMs: null })
    })

    it('takes headers that cannot be sent for no answer', async () => {
      const asked = { url: `${world.url()}/echo`, headers: { 'webhook-id': 'a\nb' }, body: '{}', withinMs: 5_000 }
      expect(await poster(true).post(asked)).toMatchObject({ status: null, error: expect.any(String) })
    })
  })
}
