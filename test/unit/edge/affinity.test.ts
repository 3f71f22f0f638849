// What keeps a request near its like: sessions, and the beginnings of prompts.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { promptOf } from '../../../edge/http/prompt.ts'
import { affinityOf, type Likeness } from '../../../edge/route/affinity.ts'
import { prefixBlocks as blocksFor, prefixCharsMax, prefixKey } from '../../../edge/route/prefix.ts'
import { limits } from '../../../shared/limits.ts'
import type { TenantId } from '../../../shared/ids.ts'
import type { Operation } from '../../../shared/operations.ts'

const blockChars = limits.prefixBlockTokens * limits.prefixCharsPerToken
const demo = 'demo' as TenantId
const prefixBlocks = (prompt: string) => blocksFor(demo, prompt)
const text = (blocks: number, letter = 'a') => letter.repeat(blocks * blockChars)

describe('prefix blocks', () => {
  it('are as many as there are whole ones, up to the bound', () => {
    expect(prefixBlocks(text(1).slice(1))).toEqual([])
    expect(prefixBlocks(text(3))).toHaveLength(3)
    expect(prefixBlocks(`${text(3)}b`)).toEqual(prefixBlocks(text(3)))
    expect(prefixBlocks(text(limits.prefixBlocksMax + 5))).toHaveLength(limits.prefixBlocksMax)
  })

  it('agree up to where two texts part, and nowhere after', () => {
    const near = fc.nat(7)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), near, fc.string({ minLength: 1 }), (blocks, at, other) => {
        const parting = Math.min(at, blocks - 1) * blockChars
        const one = text(blocks)
        const two = one.slice(0, parting) + `b${other}`.slice(0, 1) + one.slice(parting + 1)
        const [left, right] = [prefixBlocks(one), prefixBlocks(two)]
        left.forEach((hash, i) => expect(hash === right[i]).toBe(i < Math.min(at, blocks - 1)))
      }),
    )
  })

  it('that are equal in themselves differ by what comes before them', () => {
    const [first, second] = prefixBlocks(text(2))
    expect(first).not.toBe(second)
  })

  it('give a key by the first four, and none without a whole one', () => {
    expect(prefixKey([])).toBeNull()
    const shared = prefixBlocks(text(4))
    expect(prefixKey(prefixBlocks(text(4) + text(2, 'b')))).toBe(prefixKey(shared))
    expect(prefixKey(prefixBlocks(text(3) + text(2, 'b')))).not.toBe(prefixKey(shared))
  })
})

describe('promptOf', () => {
  const turn = (content: unknown) => [{ role: 'user', content }]
  it.each<readonly [Operation, unknown, string]>([
    [
      'chat',
      {
        messages: [
          { role: 'system', content: 'be' },
          { role: 'user', content: 'hi' },
        ],
      },
      '\nsystem\nbe\nuser\nhi',
    ],
    [
      'chat',
      {
        messages: turn([
          { type: 'text', text: 'a' },
          { type: 'image_url', image_url: {} },
          { type: 'text', text: 'b' },
        ]),
      },
      '\nuser\nab',
    ],
    ['messages', { system: 'be', messages: turn('hi') }, 'be\nuser\nhi'],
    ['messages', { system: [{ type: 'text', text: 'be' }], messages: turn([{ type: 'text', text: 'hi' }]) }, 'be\nuser\nhi'],
    ['responses', { instructions: 'be', input: 'hi' }, 'behi'],
    [
      'responses',
      { input: [{ role: 'user', content: [{ type: 'input_text', text: 'hi' }] }, { type: 'function_call' }] },
      '\nuser\nhi\nfunction_call\n',
    ],
    ['completions', { prompt: 'once' }, 'once'],
    ['completions', { prompt: ['once', 'twice'] }, 'oncetwice'],
    ['completions', { prompt: [1, 22, 3] }, '1 22 3 '],
    ['embeddings', { input: ['a', [1]] }, 'a1 '],
    ['generate', { text_input: 'once' }, 'once'],
    ['infer', { inputs: [] }, ''],
    ['chat', null, ''],
    ['chat', { messages: 'no list' }, 'no list'],
  ])('%s %j', (operation, body, prompt) => {
    expect(promptOf(operation, body, 1_000)).toBe(prompt)
  })

  it('never fails and never reads beyond its bound', () => {
    const operations: Operation[] = ['chat', 'messages', 'responses', 'completions', 'embeddings', 'generate']
    fc.assert(
      fc.property(fc.constantFrom(...operations), fc.jsonValue(), fc.nat(50), (operation, value, charsMax) => {
        const body = { messages: value, system: value, input: value, prompt: value, text_input: value }
        expect(promptOf(operation, body, charsMax).length).toBeLessThanOrEqual(charsMax)
      }),
    )
    expect(promptOf('completions', { prompt: text(100) }, prefixCharsMax)).toHaveLength(prefixCharsMax)
  })

  it('does not follow lists to exhaustion', () => {
    const deep: unknown = JSON.parse('['.repeat(100_000) + ']'.repeat(100_000))
    expect(promptOf('chat', { messages: turn(deep) }, 100)).toBe('\nuser\n')
    let nested: unknown = 'x'
    for (let i = 0; i < 100_000; i++) nested = [{ text: nested }]
    expect(promptOf('completions', { prompt: nested }, 100)).toBe('')
  })
})

describe('affinityOf', () => {
  const like = (so: Partial<Likeness> = {}): Likeness => ({ tenant: 'demo' as TenantId, session: null, prompt: () => text(5), ...so })

  it('is none where the model has no rule, whatever the caller names', () => {
    expect(affinityOf('none', like({ session: 's' }))).toBeNull()
  })

  it('of a session has one key per tenant and name, which tells neither', () => {
    const key = (session: string, tenant = 'demo') => affinityOf('session', like({ session, tenant: tenant as TenantId }))?.key
    expect(key('s')).toBe(key('s'))
    expect(new Set([key('s'), key('t'), key('s', 'other')]).size).toBe(3)
    expect(key('secret-name')).not.toContain('secret-name')
    expect(affinityOf('session', like())).toBeNull()
  })

  it('of a prefix has the blocks, whoever asks', () => {
    const blocks = prefixBlocks(text(5))
    expect(affinityOf('prefix', like())).toEqual({ kind: 'prefix', key: prefixKey(blocks), blocks })
    // An explanation tells whether a beginning was seen: by another tenant's, anybody could find out what it asks.
    const other = affinityOf('prefix', like({ tenant: 'other' as TenantId }))
    expect(other?.key).not.toBe(prefixKey(blocks))
    expect(other?.blocks.filter((block) => blocks.includes(block))).toEqual([])
  })

  it('needs a whole block, or a session that stands for one', () => {
    expect(affinityOf('prefix', like({ prompt: () => 'short' }))).toBeNull()
    const session = affinityOf('session', like({ session: 's' }))
    expect(affinityOf('prefix', like({ session: 's', prompt: () => 'short' }))).toEqual(session)
    expect(affinityOf('prefix', like({ session: 's' }))).toEqual({ kind: 'prefix', key: session?.key, blocks: prefixBlocks(text(5)) })
  })
})
