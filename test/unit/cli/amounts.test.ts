import { describe, expect, it } from 'vitest'
import { readDuration, readShare, readTarget, readTime, spokenAge, spokenMs, spokenNumber } from '../../../cli/commands/amounts.ts'

describe('durations', () => {
  it.each([
    ['10s', 10_000],
    ['15m', 900_000],
    ['2h', 7_200_000],
    ['1.5h', 5_400_000],
    ['500ms', 500],
    ['2d', 172_800_000],
    ['0s', 0],
  ])('%s', (text, ms) => expect(readDuration(text)).toBe(ms))

  it.each(['10', 's', '-1s', '1 s', '1h30m', '1e3s', '٣s', '', '1.0001s', '9999999999s', '1constructor'])('%j is none', (text) =>
    expect(readDuration(text)).toBeNull(),
  )
})

describe('shares', () => {
  it.each([
    ['5%', 500],
    ['0.25%', 25],
    ['0.29%', 29],
    ['0.01%', 1],
    ['100%', 10_000],
    ['33.3%', 3_330],
  ])('%s', (text, bp) => expect(readShare(text)).toBe(bp))

  it.each(['5', '0%', '0.00%', '0.001%', '100.01%', '101%', '-5%', '.5%', '5 %', '5.%'])('%j is none', (text) =>
    expect(readShare(text)).toBeNull(),
  )

  it('every share of two decimals is read exactly', () => {
    for (let bp = 1; bp <= 10_000; bp++) expect(readShare(`${Math.floor(bp / 100)}.${String(bp % 100).padStart(2, '0')}%`)).toBe(bp)
  })
})

describe('targets', () => {
  it.each([
    ['0.99', 9_900],
    ['0.999', 9_990],
    ['0.9995', 9_995],
    ['1', 10_000],
    ['99%', 9_900],
    ['99.9%', 9_990],
  ])('%s', (text, bp) => expect(readTarget(text)).toBe(bp))

  it.each(['99', '0.89', '1.01', '0.99999', '89%', 'all'])('%j is none', (text) => expect(readTarget(text)).toBeNull())
})

describe('times', () => {
  it.each([
    ['30d', 1_000 + 30 * 86_400_000],
    ['2026-12-24', Date.parse('2026-12-24T00:00:00Z')],
    ['2026-12-24T18:00:00Z', Date.parse('2026-12-24T18:00:00Z')],
    ['2026-12-24T18:00+01:00', Date.parse('2026-12-24T17:00:00Z')],
  ])('%s', (text, ms) => expect(readTime(text, 1_000)).toBe(ms))

  // Without a zone it would be the machine's own.
  it.each(['tomorrow', '2026-13-01', '2026-12-24T18:00:00', '24.12.2026'])('%j is none', (text) => expect(readTime(text, 0)).toBeNull())
})

it.each([
  [250, '250 ms'],
  [45_000, '45 s'],
  [900_000, '15 min'],
  [6_300_000, '1 h 45 min'],
  [59_999, '1 min'],
  [259_200_000, '3 d'],
])('%i ms is %s', (ms, text) => expect(spokenMs(ms)).toBe(text))

it('ages look both ways', () => {
  expect([spokenAge(0, 180_000), spokenAge(180_000, 0), spokenAge(10, 0)]).toEqual(['3 min ago', 'in 3 min', 'now'])
})

it('numbers have as many digits as one reads', () => {
  expect([0.9145678, 12, null, 1e-9].map(spokenNumber)).toEqual(['0.91457', '12', '-', '1e-9'])
})
