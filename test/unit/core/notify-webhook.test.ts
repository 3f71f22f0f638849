import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { amendWebhook, makeWebhook, webhookOptions, webhookSealName } from '../../../core/api/webhook.ts'
import type { Draft, Row } from '../../../core/facts.ts'
import { webhookEventTypes } from '../../../core/webhook-events.ts'
import { open, seal, sealKeyOf } from '../../../shared/sealed.ts'
import { signWebhook, verifyWebhook } from '../../../shared/webhook-signature.ts'

const key = await sealKeyOf('a-secret-of-at-least-32-characters')
if (!key.ok) throw new Error(key.error)
const making = { seal: (text: string, id: Parameters<typeof seal>[1]) => seal(text, id, key.value), allowPrivateEndpoints: false }
const fields = { id: 'ops', url: 'https://ops.example/in', format: 'standard', events: null, disabled: false }
const row = { ...fields, generation: 1, createdAtMs: 1, updatedAtMs: 1 } as unknown as Row<'webhook'>

describe('a webhook', () => {
  it('gets a secret of its own, shown once and kept sealed, under which signatures are good', async () => {
    const made = await makeWebhook(fields, making)
    const other = await makeWebhook(fields, making)
    if (!made.ok || !other.ok) throw new Error('not made')
    const { secret } = made.value.shownOnce
    if (secret === undefined) throw new Error('no secret shown')
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
    expect(secret).not.toBe(other.value.shownOnce['secret'])
    const { secret: sealed }: Draft<'webhook'> = made.value.draft
    expect(sealed).not.toContain(secret.slice(6))
    expect(await open(sealed, webhookSealName('ops'), key.value)).toEqual({ ok: true, value: secret })
    expect(await open(sealed, webhookSealName('other'), key.value)).toMatchObject({ ok: false })
    const headers = new Headers(await signWebhook({ secret, id: 'e', atMs: 5_000, body: '{}' }))
    expect(await verifyWebhook({ headers, body: '{}' }, { secret, nowMs: 5_000, toleranceMs: 0 })).toMatchObject({ ok: true })
  })

  it('is not made where nothing can be sealed', async () => {
    expect(await makeWebhook(fields, { ...making, seal: null })).toEqual({ ok: false, error: { reason: 'credential_key_unset' } })
  })

  it.each(['http://127.0.0.1/in', 'http://169.254.169.254/', 'https://hooks.internal/x'])(
    'has no address such as %s, neither made nor changed',
    async (url) => {
      const refused = { ok: false, error: { reason: 'private_address', param: 'url' } }
      expect(await makeWebhook({ ...fields, url }, making)).toMatchObject(refused)
      expect(await amendWebhook({ url }, row, making)).toMatchObject(refused)
      expect(await amendWebhook({ url }, row, { ...making, allowPrivateEndpoints: true })).toEqual({ ok: true, value: { url } })
    },
  )

  it('is changed in what the change names, and nothing else', async () => {
    const change = { disabled: true, events: ['rollout.paused'] }
    expect(await amendWebhook(change, row, making)).toEqual({ ok: true, value: change })
    expect(await amendWebhook({ url: 'https://new.example/' }, row, making)).toEqual({ ok: true, value: { url: 'https://new.example/' } })
  })

  it.each([
    [null, true],
    [webhookEventTypes, true],
    [['rollout.paused'], true],
    [[], false],
    [['rollout.pasued'], false],
    [['rollout.paused', 'rollout.paused'], false],
    ['rollout.paused', false],
    [undefined, false],
  ])('asks for events by their types: %j', (events, isGood) => {
    expect(v.safeParse(webhookOptions.events, events).success).toBe(isGood)
  })
})
