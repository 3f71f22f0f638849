// A page of metrics as data: Prometheus' text format 0.0.4, and OpenMetrics 1.0 as far as samples go. Whatever the page says, this takes
// time linear in its length and never throws: a broken line is skipped and counted, a page beyond the bounds is none. Pure.

import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'

export type Labels = ReadonlyMap<string, string>
/** A value may be NaN or infinite: whoever reads it decides what that means. */
export type Sample = { readonly labels: Labels; readonly value: number }

export type Page = {
  /** By the sample's own name: `x_bucket`, `x_sum` and `x_count` of a histogram `x` are three. */
  readonly samples: ReadonlyMap<string, readonly Sample[]>
  /** By family, as its TYPE line says: gauge, counter, histogram ... */
  readonly types: ReadonlyMap<string, string>
  /** Lines that are neither samples nor comments. */
  readonly broken: number
}

/** no_samples: it may be HTML, JSON or empty; too_large, too_many: beyond limits.metricsBytesMax or limits.metricsSamplesMax. */
export type PageFault = { readonly reason: 'no_samples' | 'too_large' | 'too_many'; readonly broken: number }

/** The fault in words for a log or an operator. */
export function faultWords({ reason, broken }: PageFault): string {
  if (reason === 'too_large') return `a page of metrics has at most ${limits.metricsBytesMax} bytes, and this one has more`
  if (reason === 'too_many') return `a page of metrics has at most ${limits.metricsSamplesMax} samples, and this one has more`
  return broken === 0 ? 'the page is empty' : `the page has no samples: none of its ${broken} lines is one`
}

/** Reads a page. A half-read page would make counters seem to have fallen, so one beyond the bounds is refused whole. */
export function readPage(text: string): Result<Page, PageFault> {
  if (text.length > limits.metricsBytesMax) return err({ reason: 'too_large', broken: 0 })
  const samples = new Map<string, Sample[]>()
  const types = new Map<string, string>()
  let count = 0
  let broken = 0
  for (const line of linesOf(text)) {
    if (line.startsWith('#')) {
      const [, family, type] = /^#[ \t]+TYPE[ \t]+(\S+)[ \t]+(\S+)$/.exec(line) ?? []
      if (family !== undefined && type !== undefined) types.set(family, type)
      continue
    }
    const read = readSample(line)
    if (read === null) {
      broken++
      continue
    }
    if (++count > limits.metricsSamplesMax) return err({ reason: 'too_many', broken })
    const { name, ...sample } = read
    const same = samples.get(name)
    if (same) same.push(sample)
    else samples.set(name, [sample])
  }
  return count === 0 ? err({ reason: 'no_samples', broken }) : ok({ samples, types, broken })
}

/** Without the white space at their ends, which takes the CR of a CRLF along; empty ones are left out. */
function* linesOf(text: string): Generator<string> {
  for (let at = 0; at < text.length;) {
    const end = text.indexOf('\n', at)
    const line = text.slice(at, end === -1 ? text.length : end).trim()
    if (line !== '') yield line
    at = end === -1 ? text.length : end + 1
  }
}

const nameAt = /[a-zA-Z_:][a-zA-Z0-9_:]*/y
const wordAt = /[^ \t]+/y
const blankAt = /[ \t]*/y
const noLabels: Labels = new Map()

/** `name{label="value",...} value [timestamp] [# exemplar]`, or null where the line is not of that form. */
function readSample(line: string): (Sample & { readonly name: string }) | null {
  const name = take(nameAt, line, 0)
  if (name === null) return null
  let at = skip(line, name.length)
  let labels = noLabels
  if (line[at] === '{') {
    const read = readLabels(line, at + 1)
    if (read === null) return null
    labels = read.labels
    at = skip(line, read.end)
  } else if (at === name.length) {
    return null
  }
  const word = take(wordAt, line, at)
  const value = word === null ? null : numberOf(word)
  return word !== null && value !== null && endsWell(line, at + word.length) ? { name, labels, value } : null
}

/** Behind a value there may be a timestamp, and behind that an exemplar (OpenMetrics), which begins with a number sign. */
function endsWell(line: string, from: number): boolean {
  const at = skip(line, from)
  const word = take(wordAt, line, at)
  if (word === null || word.startsWith('#')) return true
  const rest = skip(line, at + word.length)
  return numberOf(word) !== null && (rest === line.length || line[rest] === '#')
}

/** The labels from behind the opening brace on, and the place behind the closing one. A comma before it is allowed. */
function readLabels(line: string, from: number): { readonly labels: Labels; readonly end: number } | null {
  const labels = new Map<string, string>()
  let at = skip(line, from)
  while (line[at] !== '}') {
    const name = take(nameAt, line, at)
    if (name === null) return null
    at = skip(line, at + name.length)
    if (line[at] !== '=') return null
    at = skip(line, at + 1)
    const quoted = line[at] === '"' ? readQuoted(line, at + 1) : null
    if (quoted === null) return null
    labels.set(name, quoted.text)
    at = skip(line, quoted.end)
    if (line[at] === ',') at = skip(line, at + 1)
    else if (line[at] !== '}') return null
  }
  return { labels, end: at + 1 }
}

/** A quoted text from behind its opening quote on: `\\`, `\"` and `\n` are escapes, any other backslash is one. */
function readQuoted(line: string, from: number): { readonly text: string; readonly end: number } | null {
  let text = ''
  let copied = from
  for (let at = from; at < line.length; at++) {
    if (line[at] === '"') return { text: text + line.slice(copied, at), end: at + 1 }
    if (line[at] !== '\\') continue
    const escaped = escapes.get(line[at + 1] ?? '')
    if (escaped === undefined) continue
    text += line.slice(copied, at) + escaped
    at++
    copied = at + 1
  }
  return null
}

const escapes: ReadonlyMap<string, string> = new Map([
  ['\\', '\\'],
  ['"', '"'],
  ['n', '\n'],
])

// No digit can be matched in two ways, or a long number would take quadratic time.
const decimal = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/
const unnumbers: ReadonlyMap<string, number> = new Map([
  ['nan', Number.NaN],
  ['inf', Number.POSITIVE_INFINITY],
  ['+inf', Number.POSITIVE_INFINITY],
  ['-inf', Number.NEGATIVE_INFINITY],
])

/** A number as the format writes them, `+Inf` and `NaN` included; null for any other word. Labels such as `le` are written so too. */
export function numberOf(word: string): number | null {
  if (decimal.test(word)) return Number(word)
  return unnumbers.get(word.toLowerCase()) ?? null
}

function take(pattern: RegExp, line: string, at: number): string | null {
  pattern.lastIndex = at
  return pattern.exec(line)?.[0] ?? null
}

function skip(line: string, at: number): number {
  blankAt.lastIndex = at
  return at + (blankAt.exec(line)?.[0].length ?? 0)
}
