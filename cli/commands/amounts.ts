// Durations, shares and times as people write them on a command line, and back. Pure: what cannot be read is null, never a guess.

const unitsMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const isUnit = (text: string | undefined): text is keyof typeof unitsMs => text !== undefined && Object.hasOwn(unitsMs, text)

/** "10s", "15m", "1.5h", "500ms", "2d" in whole milliseconds; null for anything else. A number without a unit is none. */
export function readDuration(text: string): number | null {
  const [, amount, unit] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text) ?? []
  if (amount === undefined || !isUnit(unit)) return null
  return Math.round(Number(amount) * unitsMs[unit])
}

/** "5%" or "0.25%" in 1/10,000; null for anything else, more than two decimals and more than 100 % included. */
export function readShare(text: string): number | null {
  const [, whole, decimals = ''] = /^(\d{1,3})(?:\.(\d{1,2}))?%$/.exec(text) ?? []
  if (whole === undefined) return null
  // In whole hundredths: 0.29 % as a product of doubles is 28.999 of them.
  const bp = Number(whole) * 100 + Number(decimals.padEnd(2, '0'))
  return bp >= 1 && bp <= 10_000 ? bp : null
}

/** "0.99", "0.999" or "99.9%" in 1/10,000, from 0.9 to 1; null for anything else. */
export function readTarget(text: string): number | null {
  if (text.endsWith('%')) return inTargets(readShare(text))
  const [, whole, decimals = ''] = /^([01])(?:\.(\d{1,4}))?$/.exec(text) ?? []
  return whole === undefined ? null : inTargets(Number(whole) * 10_000 + Number(decimals.padEnd(4, '0')))
}

const inTargets = (bp: number | null): number | null => (bp !== null && bp >= 9_000 && bp <= 10_000 ? bp : null)

/** "30d" from now, or a date such as 2026-12-24 or 2026-12-24T18:00:00Z, in epoch milliseconds; null for anything else. */
export function readTime(text: string, nowMs: number): number | null {
  const durationMs = readDuration(text)
  if (durationMs !== null) return nowMs + durationMs
  if (!/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text)) return null
  const atMs = Date.parse(text)
  return Number.isNaN(atMs) ? null : atMs
}

/** A duration in at most two units: "45 s", "15 min", "1 h 45 min", "3 d". */
export function spokenMs(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  const s = Math.round(ms / 1_000)
  if (s < 60) return `${s} s`
  if (s < 3_600) return twoUnits(s, 60, 'min', 's')
  return s < 172_800 ? twoUnits(Math.round(s / 60), 60, 'h', 'min') : twoUnits(Math.round(s / 3_600), 24, 'd', 'h')
}

function twoUnits(small: number, per: number, unit: string, smallUnit: string): string {
  const rest = small % per
  return `${Math.floor(small / per)} ${unit}${rest > 0 ? ` ${rest} ${smallUnit}` : ''}`
}

/** 1/10,000 as percent: "5 %", "0.25 %". */
export const spokenBp = (bp: number): string => `${bp / 100} %`

/** How long ago, or how far ahead: "3 min ago", "in 12 min". */
export function spokenAge(atMs: number, nowMs: number): string {
  const apartMs = nowMs - atMs
  if (Math.abs(apartMs) < 1_000) return 'now'
  return apartMs > 0 ? `${spokenMs(apartMs)} ago` : `in ${spokenMs(-apartMs)}`
}

/** An hour for people, in UTC, as it is in logs. */
export const spokenTime = (atMs: number): string => `${new Date(atMs).toISOString().slice(0, 19)}Z`

/** A measured number with as many digits as one reads; a dash where there is none. */
export function spokenNumber(value: number | null): string {
  if (value === null) return '-'
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(5)))
}
