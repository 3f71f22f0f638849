import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { aliasFor, splits, unitOf, versionFor } from '../../../edge/admit/assign.ts'
import { readAuthorization, verify } from '../../../edge/admit/credential.ts'
import { deadlineOf } from '../../../edge/admit/deadline.ts'
import { bucketOf, sha256Hex } from '../../../shared/hash.ts'
import type { ModelName, TenantId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { alias, model, snapshotOf } from '../../support/snapshot.ts'
import { credential, key, keyText } from '../../support/credential.ts'

describe('authorization header', () => {
  it.each([
    [null, 'missing_key'],
    ['', 'missing_key'],
    ['   ', 'missing_key'],
    ['Bearer', 'malformed_key'],
    ['Basic abc', 'malformed_key'],
    ['Bearer sk-123', 'malformed_key'],
    [`Bearer ${keyText} x`, 'malformed_key'],
    [keyText, 'malformed_key'],
  ])('%j is refused as %s', (header, reason) => {
    expect(readAuthorization(header)).toEqual({ ok: false, error: { reason } })
  })

  it.each([`Bearer ${keyText}`, `bearer ${keyText}`, `BEARER   ${keyText} `])('%j is a key', (header) => {
    expect(readAuthorization(header)).toEqual({ ok: true, value: key })
  })
})

describe('verify', async () => {
  const digest = await sha256Hex(key.secret)
  const record = await credential()

  it('lets the holder in', () => {
    expect(verify(key, digest, record, 0)).toEqual({ ok: true, value: record })
  })

  it.each([
    ['a wrong secret', { secretSha256: 'f'.repeat(64) }, { reason: 'unknown_key' }],
    ['another environment', { environment: 'production' as const }, { reason: 'unknown_key' }],
    ['a disabled key', { disabled: true }, { reason: 'disabled_key' }],
    ['an expired key', { expiresAtMs: 1_000 }, { reason: 'expired_key', expiredAtMs: 1_000 }],
    // Whoever does not hold the secret must not learn that the key is disabled.
    ['a wrong secret of a disabled key', { secretSha256: 'f'.repeat(64), disabled: true }, { reason: 'unknown_key' }],
  ])('refuses %s', (_, so, error) => {
    expect(verify(key, digest, { ...record, ...so }, 1_000)).toEqual({ ok: false, error })
  })

  it('lets a key in until the millisecond it expires', () => {
    expect(verify(key, digest, { ...record, expiresAtMs: 1_001 }, 1_000).ok).toBe(true)
  })
})

describe('deadline', () => {
  const nowMs = Date.parse('2026-01-01T00:00:00Z')

  it.each([
    [null, null, limits.deadlineMsDefault],
    [null, '1500', 1_500],
    ['2026-01-01T00:00:02Z', null, 2_000],
    ['2026-01-01T01:00:02+01:00', null, 2_000],
    [String(nowMs + 3_000), null, 3_000],
    ['2026-01-01T00:00:02Z', '1500', 1_500],
    ['2026-01-01T00:00:01Z', '1500', 1_000],
    [null, '999999999', limits.deadlineMsMax],
    ['2027-01-01T00:00:00Z', null, limits.deadlineMsMax],
  ])('deadline %j, timeout %j -> %i ms from now', (deadline, timeout, expectedMs) => {
    expect(deadlineOf(deadline, timeout, nowMs)).toEqual({ ok: true, value: nowMs + expectedMs })
  })

  it.each(['0', '-1', '1.5', 'soon', '', '1e3', '10000000000'])('timeout %j is refused', (timeout) => {
    expect(deadlineOf(null, timeout, nowMs)).toMatchObject({
      ok: false,
      error: { reason: 'invalid_header', header: 'isochrone-timeout-ms' },
    })
  })

  it.each(['tomorrow', '', '2026-01-01', '2026-01-01T00:00:00', '12345', '2026-13-01T00:00:00Z'])('deadline %j is refused', (deadline) => {
    expect(deadlineOf(deadline, null, nowMs)).toMatchObject({
      ok: false,
      error: { reason: 'invalid_header', header: 'isochrone-deadline' },
    })
  })

  it('the past is refused, never clamped', () => {
    expect(deadlineOf('2025-12-31T23:59:59Z', null, nowMs)).toEqual({ ok: false, error: { reason: 'deadline_passed', lateByMs: 1_000 } })
    expect(deadlineOf(String(nowMs), null, nowMs)).toEqual({ ok: false, error: { reason: 'deadline_passed', lateByMs: 0 } })
  })
})

describe('assignment', async () => {
  const record = await credential()
  const canary = 'atlas-3' as VersionId

  it('refuses a model that has no alias in the environment of the key', () => {
    const snapshot = snapshotOf([], { aliases: [alias({ environment: 'production' })] })
    expect(aliasFor(snapshot, record, model)).toEqual({ ok: false, error: { reason: 'unknown_model', model, environment: 'development' } })
  })

  it('refuses a model that the key does not list', () => {
    expect(aliasFor(snapshotOf([]), { ...record, models: ['other'] }, model)).toEqual({
      ok: false,
      error: { reason: 'model_not_allowed', model },
    })
    expect(aliasFor(snapshotOf([]), { ...record, models: ['atlas'] }, model).ok).toBe(true)
    expect(aliasFor(snapshotOf([]), record, 'other' as ModelName).ok).toBe(false)
  })

  it('the unit is the session, else the user, else the key; tenants are apart', () => {
    const other = { ...record, tenant: 'other' as TenantId }
    expect(unitOf(record, 's', 'u')).not.toBe(unitOf(record, null, 'u'))
    expect(unitOf(record, null, 'u')).not.toBe(unitOf(record, null, null))
    expect(unitOf(record, 's', 'u')).toBe(unitOf(record, 's', null))
    expect(unitOf(record, 's', null)).not.toBe(unitOf(other, 's', null))
  })

  it('splits only with a canary and a weight', () => {
    expect(splits(alias())).toBe(false)
    expect(splits(alias({ canary, weightBp: 0 }))).toBe(false)
    expect(splits(alias({ canary, weightBp: 1 }))).toBe(true)
  })

  it('raising the weight never moves anybody back (property)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.nat(10_000), fc.nat(10_000), async (unit, a, b) => {
        const bucket = await bucketOf('salt', unit)
        const at = (weightBp: number) => versionFor(alias({ canary, weightBp }), bucket)
        if (at(Math.min(a, b)) === canary) expect(at(Math.max(a, b))).toBe(canary)
        expect(at(0)).not.toBe(canary)
        expect(at(10_000)).toBe(canary)
      }),
    )
  })

  it('the canary gets its weight of the units, within a percent', async () => {
    const weightBp = 500
    const buckets = await Promise.all(Array.from({ length: 40_000 }, (_, i) => bucketOf('salt', `unit-${i}`)))
    const share = buckets.filter((bucket) => versionFor(alias({ canary, weightBp }), bucket) === canary).length / buckets.length
    expect(Math.abs(share - weightBp / 10_000)).toBeLessThan(0.01)
  })
})
