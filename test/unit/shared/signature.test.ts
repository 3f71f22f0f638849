import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sealSecretCharsMin } from '../../../shared/sealed.ts'
import { readSigned, signerOf, writeSigned, type Signer } from '../../../shared/signature.ts'

async function signer(secret = 'a'.repeat(sealSecretCharsMin)): Promise<Signer> {
  const made = await signerOf(secret)
  if (!made) throw new Error('no signer')
  return made
}

describe('a signer', () => {
  it.each([undefined, '', 'a'.repeat(sealSecretCharsMin - 1)])('is none where the secret is %j', async (secret) => {
    expect(await signerOf(secret)).toBeNull()
  })

  it('gives the same signature for the same text and secret, computed apart', async () => {
    const secret = 'a'.repeat(sealSecretCharsMin)
    const { createHmac, hkdfSync } = await import('node:crypto')
    const key = new Uint8Array(hkdfSync('sha256', secret, '', 'isochrone/snapshot/v1', 32))
    expect(await (await signer()).sign('{"é":1}')).toBe(createHmac('sha256', key).update('{"é":1}').digest('hex'))
  })

  it('for all texts: verifies its own, and no other text, signature or secret', async () => {
    const [mine, other] = [await signer(), await signer('b'.repeat(sealSecretCharsMin))]
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.string(), async (text, another) => {
        const signature = await mine.sign(text)
        expect(await mine.verify(text, signature)).toBe(true)
        expect(await other.verify(text, signature)).toBe(false)
        expect(await mine.verify(text, another)).toBe(false)
        if (another !== text) expect(await mine.verify(another, signature)).toBe(false)
      }),
    )
  })
})

describe('a signed copy', () => {
  const told = { generation: 3, endpoints: [] }
  const text = JSON.stringify(told)

  it('is read under the secret it was written under, through KV’s JSON', async () => {
    const mine = await signer()
    const copy: unknown = JSON.parse(JSON.stringify(await writeSigned(text, mine)))
    expect(await readSigned(copy, mine)).toEqual(told)
  })

  it('is refused under a secret when changed, signed under another, unsigned or bare', async () => {
    const mine = await signer()
    const good = await writeSigned(text, mine)
    for (const bad of [
      { ...good, text: text.replace('3', '4') },
      { ...good, signature: `${good.signature?.slice(1)}0` },
      { ...good, signature: null },
      { text },
      await writeSigned(text, await signer('b'.repeat(sealSecretCharsMin))),
      await writeSigned(text, null),
      await writeSigned('no JSON', mine),
      told,
      null,
      'text',
    ]) {
      expect(await readSigned(bad, mine)).toBe('refused')
    }
  })

  it('without a secret is read whoever wrote it, in its old form too', async () => {
    expect(await readSigned(await writeSigned(text, null), null)).toEqual(told)
    expect(await readSigned(await writeSigned(text, await signer()), null)).toEqual(told)
    expect(await readSigned(told, null)).toEqual(told)
    expect(await readSigned({ signature: null, text: 'no JSON' }, null)).toBe('refused')
  })
})
