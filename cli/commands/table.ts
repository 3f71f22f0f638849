// Text for a terminal: aligned columns, and any value as an outline. Pure.

/** Rows in aligned columns, each as wide as its widest cell; control characters are taken out, for a row may hold anybody's text. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows].map((row) => row.map(plain))
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines.map((line) => lined(line, widths)).join('\n')
}

const lined = (line: readonly string[], widths: readonly number[]): string =>
  line
    .map((cell, column) => cell.padEnd(widths[column] ?? 0))
    .join('  ')
    .trimEnd()

/** Names and values below each other; a value that is null is left out. */
export function fields(rows: readonly (readonly [string, string | null])[]): string {
  const shown = rows.flatMap(([name, value]) => (value === null ? [] : [[name, value]]))
  const width = Math.max(0, ...shown.map(([name]) => name?.length ?? 0))
  return shown.map(([name = '', value = '']) => `${name.padEnd(width)}  ${plain(value)}`).join('\n')
}

/** A text on one line, without what would move the cursor. */
export const plain = (text: string): string => text.replaceAll(/\p{Cc}+/gu, ' ')

/** Levels of an outline that are shown; what lies deeper is written as JSON. */
const levelsMax = 6

/** Any value as an outline: names and values, lists of them indented below their name. */
export function outline(value: unknown, level = 0): string {
  const pad = '  '.repeat(level)
  if (typeof value !== 'object' || value === null || level >= levelsMax) return `${pad}${scalar(value)}`
  if (Array.isArray(value)) return value.map((each) => `${pad}- ${outline(each, level + 1).trimStart()}`).join('\n')
  return Object.entries(value)
    .map(([name, each]) => (isLeaf(each) ? `${pad}${name}: ${scalar(each)}` : `${pad}${name}:\n${outline(each, level + 1)}`))
    .join('\n')
}

const isLeaf = (value: unknown): boolean => typeof value !== 'object' || value === null || Object.keys(value).length === 0

function scalar(value: unknown): string {
  if (value === null || value === undefined) return '-'
  return plain(typeof value === 'string' ? value : JSON.stringify(value))
}

/** A field's value in a cell; of a digest what tells it from others. */
export function valueText(value: unknown): string {
  if (value === null || value === undefined) return '-'
  if (typeof value !== 'string') return JSON.stringify(value)
  return value.replace(/^(sha256:[0-9a-f]{12})[0-9a-f]{52}$/, '$1…')
}
