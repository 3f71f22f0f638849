import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { EndpointId } from '../../../shared/ids.ts'
import { open, seal, sealKeyOf, sealSecretCharsMin, type SealKey } from '../../../shared/sealed.ts'

const id = (text: string) => text as EndpointId
async function keyOf(secret: string): Promise<SealKey> {
  const key = await sealKeyOf(secret)
  if (!key.ok) throw new Error(key.error)
  return key.value
}
const one = await keyOf('a secret of the deployment, 1 of 2')

describe('sealed texts', () => {
  it('for all texts and endpoints: what is sealed opens, and shows nothing of itself', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 300 }), fc.string({ minLength: 1 }), async (text, endpoint) => {
        const sealed = await seal(text, id(endpoint), one)
        expect(sealed).toMatch(/^v1\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{22,}$/)
        if (text.length > 8) expect(sealed).not.toContain(text)
        expect(await open(sealed, id(endpoint), one)).toEqual({ ok: true, value: text })
      }),
      { numRuns: 50 },
    )
  })

  it('are never the same twice, under the same key and secret', async () => {
    const sealed = await Promise.all(Array.from({ length: 500 }, () => seal('x', id('e'), one)))
    expect(new Set(sealed.map((text) => text.split('.')[1])).size).toBe(500)
    const again = await keyOf('a secret of the deployment, 1 of 2')
    expect(await open(sealed[0] ?? '', id('e'), again)).toEqual({ ok: true, value: 'x' })
  })

  it('open for no other endpoint and under no other secret', async () => {
    const sealed = await seal('x', id('e1'), one)
    const refused = { ok: false, error: 'not_authentic' }
    expect(await open(sealed, id('e2'), one)).toEqual(refused)
    expect(await open(sealed, id('e1'), await keyOf('a secret of the deployment, 2 of 2'))).toEqual(refused)
  })

  it('with any one character changed, added or left out, they do not open', async () => {
    const sealed = await seal('{"bearer":"x"}', id('e'), one)
    for (let at = 0; at < sealed.length; at++) {
      const other = sealed[at] === 'A' ? 'B' : 'A'
      for (const middle of [other, '', `${sealed[at]}A`]) {
        const opened = await open(sealed.slice(0, at) + middle + sealed.slice(at + 1), id('e'), one)
        expect(opened.ok).toBe(false)
      }
    }
  })

  it.each([
    ['', 'malformed'],
    ['v1', 'malformed'],
    ['v1.AAAAAAAAAAAAAAAA', 'malformed'],
    ['v1.AAAAAAAAAAAAAAAA.', 'malformed'],
    ['v1.AAAAAAAAAAAAAAAA.AAAA', 'malformed'],
    ['v1.AAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'malformed'],
    ['v1.AAAAAAAAAAAAAAA=.AAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'malformed'],
    ['v1.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAA.x', 'malformed'],
    ['v2.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'unknown_format'],
    ['plain text', 'malformed'],
    ['v1.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'not_authentic'],
  ])('%j is %s', async (text, failure) => {
    expect(await open(text, id('e'), one)).toEqual({ ok: false, error: failure })
  })

  it('for all texts: garbage is a failure, not thrown over', async () => {
    const anything = fc.oneof(
      fc.string(),
      fc.base64String().map((text) => `v1.${text}.${text}`),
    )
    await fc.assert(
      fc.asyncProperty(anything, async (text) => {
        expect((await open(text, id('e'), one)).ok).toBe(false)
      }),
    )
  })

  it('need a secret that cannot be guessed', async () => {
    expect(await sealKeyOf('x'.repeat(sealSecretCharsMin - 1))).toEqual({ ok: false, error: 'too_short' })
    expect((await sealKeyOf('ü'.repeat(sealSecretCharsMin))).ok).toBe(true)
  })

  // Made with openssl and node:crypto by hand (HKDF-SHA-256, AES-256-GCM): the format must not change under what is stored.
  it('open what was sealed elsewhere', async () => {
    const { createCipheriv, hkdfSync } = await import('node:crypto')
    const secret = 'a secret of the deployment, 1 of 2'
    const raw = Buffer.from(hkdfSync('sha256', secret, '', 'isochrone/endpoint-credential/v1', 32))
    const nonce = Buffer.alloc(12, 7)
    const cipher = createCipheriv('aes-256-gcm', raw, nonce).setAAD(Buffer.from('e1'))
    const sealed = Buffer.concat([cipher.update('{"bearer":"ü"}', 'utf8'), cipher.final(), cipher.getAuthTag()])
    expect(await open(`v1.${nonce.toString('base64url')}.${sealed.toString('base64url')}`, id('e1'), one)).toEqual({
      ok: true,
      value: '{"bearer":"ü"}',
    })
  })
})
