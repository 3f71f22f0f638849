// The page parser: what the format allows, what it does not, and that nothing a server sends can make it throw or take long.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { faultWords, readPage, type Page } from '../../../edge/probe/exposition.ts'
import { limits } from '../../../shared/limits.ts'

function pageOf(text: string): Page {
  const read = readPage(text)
  if (!read.ok) throw new Error(faultWords(read.error))
  return read.value
}

/** Samples as `[name, labels, value]`, in the order of names. */
const samplesOf = (page: Page) =>
  [...page.samples].flatMap(([name, samples]) => samples.map(({ labels, value }) => [name, Object.fromEntries(labels), value]))

describe('a sample', () => {
  it.each<readonly [string, readonly unknown[]]>([
    ['up 1', ['up', {}, 1]],
    ['a:b_C9 \t 2.5', ['a:b_C9', {}, 2.5]],
    ['a{} 1', ['a', {}, 1]],
    ['a{x="1"} 1', ['a', { x: '1' }, 1]],
    ['a { x = "1" , y="" , } 1', ['a', { x: '1', y: '' }, 1]],
    ['a{x="C:\\\\dir",y="say \\"hi\\"",z="two\\nlines",w="\\d"} 1', ['a', { x: 'C:\\dir', y: 'say "hi"', z: 'two\nlines', w: '\\d' }, 1]],
    ['a{x="},{ # =",y="é 漢"} 1', ['a', { x: '},{ # =', y: 'é 漢' }, 1]],
    [
      'a{__proto__="1",constructor="2"} 1',
      [
        'a',
        Object.fromEntries([
          ['__proto__', '1'],
          ['constructor', '2'],
        ]),
        1,
      ],
    ],
    ['a -1.5e-3', ['a', {}, -0.0015]],
    ['a +.5E+2', ['a', {}, 50]],
    ['a 1.', ['a', {}, 1]],
    ['a +Inf', ['a', {}, Infinity]],
    ['a -Inf', ['a', {}, -Infinity]],
    ['a NaN', ['a', {}, NaN]],
    // A timestamp: milliseconds, or seconds in OpenMetrics.
    ['a 1 1395066363000', ['a', {}, 1]],
    ['a 1 -3', ['a', {}, 1]],
    ['a 1 1520879607.789', ['a', {}, 1]],
    ['a_bucket{le="0.5"} 4 # {trace_id="KOO5S4vxi0o"} 0.67', ['a_bucket', { le: '0.5' }, 4]],
    ['a_bucket{le="0.5"} 4 1520879607.789 # {} 0.67 1520879607.7', ['a_bucket', { le: '0.5' }, 4]],
  ])('%s', (line, sample) => {
    expect(samplesOf(pageOf(line))).toEqual([sample])
  })

  it.each([
    'a',
    'a{x="1"}',
    'a{x="1" 1',
    'a{x="1',
    'a{x="1\\"} 1',
    'a{x=1} 1',
    'a{="1"} 1',
    'a{x="1"y="2"} 1',
    'a{,} 1',
    'a one',
    'a 1 2 3',
    'a 1 soon',
    'a 0x10',
    'a 1_000',
    'a 1e',
    '9a 1',
    '{x="1"} 1',
    'a-b 1',
    '<p>3</p>',
    '"a": 1,',
  ])('not %s: the line is skipped and counted, the others are read', (line) => {
    const page = pageOf(`before 1\n${line}\nafter 2\n`)
    expect([page.broken, samplesOf(page)]).toEqual([
      1,
      [
        ['before', {}, 1],
        ['after', {}, 2],
      ],
    ])
  })
})

describe('a page', () => {
  it('has families with types, comments, CRLF and an end without a line break', () => {
    const page = pageOf(
      '# HELP a What a\\nis.\r\n# TYPE a gauge\r\n#\r\n# just a comment\r\n\r\na 1\r\na{x="2"} 2\r\n# TYPE b histogram\r\n# EOF\r\nb_count 3',
    )
    expect([...page.types]).toEqual([
      ['a', 'gauge'],
      ['b', 'histogram'],
    ])
    expect(samplesOf(page)).toEqual([
      ['a', {}, 1],
      ['a', { x: '2' }, 2],
      ['b_count', {}, 3],
    ])
    expect(page.broken).toBe(0)
  })

  it.each([
    [
      'HTML',
      '<!doctype html>\n<html><head><title>Grafana</title></head>\n<body class="x">Sign in</body></html>\n',
      'none of its 3 lines is one',
    ],
    ['JSON', '{"error": {"message": "not found",\n "code": 404}}\n', 'none of its 2 lines is one'],
    ['JSON of numbers', '[\n{"iterLatencyMS": 6.2}\n]', 'none of its 3 lines is one'],
    ['nothing', '', 'the page is empty'],
    ['comments alone', '# TYPE a gauge\n', 'the page is empty'],
  ])('that is %s has no samples and says so', (_, text, words) => {
    const read = readPage(text)
    expect(read.ok ? null : faultWords(read.error)).toContain(words)
  })

  it('beyond the bounds is refused whole', () => {
    const lines = (count: number) => 'a 1\n'.repeat(count)
    expect(samplesOf(pageOf(lines(limits.metricsSamplesMax)))).toHaveLength(limits.metricsSamplesMax)
    expect(readPage(lines(limits.metricsSamplesMax + 1))).toMatchObject({ ok: false, error: { reason: 'too_many' } })
    expect(readPage(`a 1\n#${' '.repeat(limits.metricsBytesMax)}`)).toMatchObject({ ok: false, error: { reason: 'too_large' } })
  })
})

/** Text that is nearly a page: the format's own signs, in any order. */
const nearly = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        'a',
        'le',
        '{',
        '}',
        '"',
        '\\',
        '=',
        ',',
        ' ',
        '\t',
        '\n',
        '\r\n',
        '#',
        '# TYPE ',
        '1',
        '.',
        'e',
        '-',
        '+Inf',
        'NaN',
        '\0',
        '😀',
        '\ud800',
      ),
      fc.constantFrom('a 1\n', 'a{x="1"} 2\n', 'a{x="'),
      fc.string({ maxLength: 5 }),
    ),
    { maxLength: 200 },
  )
  .map((parts) => parts.join(''))

describe('whatever a server sends', () => {
  it('never throws, and no line is both or neither', () => {
    fc.assert(
      fc.property(nearly, (text) => {
        const read = readPage(text)
        const lines = text.split('\n').map((line) => line.trim())
        const counted = lines.filter((line) => line !== '' && !line.startsWith('#')).length
        const samples = read.ok ? [...read.value.samples.values()].reduce((total, same) => total + same.length, 0) : 0
        expect(samples + (read.ok ? read.value.broken : read.error.broken)).toBe(counted)
      }),
      { numRuns: 2_000 },
    )
  })

  it('what is written as the format says is read as it was meant', () => {
    const name = fc.stringMatching(/^[a-zA-Z_:][a-zA-Z0-9_:]{0,10}$/)
    const label = fc.stringMatching(/^[a-zA-Z_][a-zA-Z0-9_]{0,6}$/)
    const escaped = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
    fc.assert(
      fc.property(name, fc.dictionary(label, fc.string()), fc.double({ noDefaultInfinity: true }), (name, labels, value) => {
        const written = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`)
        const [sample] = pageOf(`${name}{${written.join(',')}} ${value}\n`).samples.get(name) ?? []
        expect(Object.fromEntries(sample?.labels ?? [])).toEqual({ ...labels })
        // Minus zero is written as zero.
        expect(sample?.value).toEqual(value === 0 ? 0 : value)
      }),
    )
  })

  it.each([
    ['a long name', (n: number) => 'a'.repeat(n)],
    ['a long number', (n: number) => `a ${'1'.repeat(n)}x`],
    ['many blanks', (n: number) => `a 1${' '.repeat(n)}x`],
    ['many escapes', (n: number) => `a{x="${'\\\\'.repeat(n / 2)}`],
    ['many labels', (n: number) => `a{${'x="",'.repeat(n / 5)}`],
    ['many open braces', (n: number) => 'a{\n'.repeat(n / 3)],
    ['a long type', (n: number) => `# TYPE ${'a'.repeat(n)}`],
  ])('%s over a whole page is read in one pass', (_, page) => {
    // A quadratic reading of two million characters takes minutes: the test's own time limit is the judge.
    expect(readPage(page(limits.metricsBytesMax - 100)).ok).toBe(false)
  })
})
