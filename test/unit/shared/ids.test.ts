import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { base32, cellIdOf, readApiKey, writeApiKey, type KeyId, type ModelName, type RegionName } from '../../../shared/ids.ts'

describe('base32', () => {
  it.each([
    [[], ''],
    [[0], '00'],
    [[255], 'zw'],
    [[0xf8, 0x3e, 0x0f, 0x83, 0xe0], 'z0z0z0z0'],
  ])('%j -> %s', (bytes, text) => {
    expect(base32(Uint8Array.from(bytes))).toBe(text)
  })

  it('gives ceil(8n / 5) characters, and different bytes different texts', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 40 }), (a, b) => {
        expect(base32(a)).toHaveLength(Math.ceil((a.length * 8) / 5))
        if (a.length === b.length) expect(base32(a) === base32(b)).toBe(a.every((byte, i) => byte === b[i]))
      }),
    )
  })
})

describe('API keys', () => {
  it('reads what it writes', () => {
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
    fc.assert(
      fc.property(fc.constantFrom('development', 'staging', 'production' as const), bytes(10), bytes(20), (environment, id, secret) => {
        const key = { environment: environment as 'development', id: base32(id) as KeyId, secret: base32(secret) }
        expect(readApiKey(writeApiKey(key))).toEqual(key)
      }),
    )
  })

  it.each([
    '',
    'iso_',
    'sk-abcdef',
    'iso_dev_0123456789abcdef_0123456789abcdef0123456789abcdef',
    'iso_development_0123456789abcde_0123456789abcdef0123456789abcdef', // id one short
    'iso_development_0123456789abcdef_0123456789abcdef0123456789abcde', // secret one short
    'iso_development_0123456789abcdef_0123456789abcdef0123456789abcdefa',
    'iso_development_0123456789abcdeI_0123456789abcdef0123456789abcdef', // I is not in the alphabet
    ' iso_development_0123456789abcdef_0123456789abcdef0123456789abcdef',
    'iso_development_0123456789abcdef_0123456789abcdef0123456789abcdef\n',
  ])('does not take %j for a key', (text) => {
    expect(readApiKey(text)).toBeNull()
  })
})

it('names a cell after model and region', () => {
  expect(cellIdOf('atlas' as ModelName, 'us-east' as RegionName)).toBe('atlas@us-east')
})
