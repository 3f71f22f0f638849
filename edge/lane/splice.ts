// Changes one top-level field of a JSON text and keeps every other character. Pure.
// Parsing and writing a body again would lose number precision, key order and repeated keys; so what must change is spliced.

/** `json` (valid, an object) with the value of its top-level `key` replaced; unchanged when it has none. The last one wins where a key is repeated, as in JSON.parse. */
export function spliceTopLevel(json: string, key: string, value: unknown): string {
  const span = spanOfTopLevel(json, key)
  return span ? json.slice(0, span.start) + JSON.stringify(value) + json.slice(span.end) : json
}

/** As spliceTopLevel, and adds the field at the end when there is none. */
export function setTopLevel(json: string, key: string, value: unknown): string {
  if (spanOfTopLevel(json, key)) return spliceTopLevel(json, key, value)
  const close = json.lastIndexOf('}')
  const isEmpty = json.slice(json.indexOf('{') + 1, close).trim() === ''
  return `${json.slice(0, close)}${isEmpty ? '' : ','}${JSON.stringify(key)}:${JSON.stringify(value)}${json.slice(close)}`
}

type Span = { readonly start: number; readonly end: number }

function spanOfTopLevel(json: string, key: string): Span | null {
  let found: Span | null = null
  let at = skipSpace(json, 0) + 1
  for (;;) {
    at = skipSpace(json, at)
    if (json[at] === ',') at = skipSpace(json, at + 1)
    if (json[at] !== '"') return found
    const keyEnd = skipString(json, at)
    const name: unknown = JSON.parse(json.slice(at, keyEnd))
    const start = skipSpace(json, skipSpace(json, keyEnd) + 1)
    const end = skipValue(json, start)
    if (name === key) found = { start, end }
    at = end
  }
}

function skipSpace(json: string, from: number): number {
  let at = from
  while (json[at] === ' ' || json[at] === '\n' || json[at] === '\r' || json[at] === '\t') at++
  return at
}

/** The index after the closing quote of the string that begins at `from`. */
function skipString(json: string, from: number): number {
  let at = from + 1
  for (;;) {
    const quote = json.indexOf('"', at)
    if (quote < 0) return json.length
    let escapes = 0
    while (json[quote - 1 - escapes] === '\\') escapes++
    if (escapes % 2 === 0) return quote + 1
    at = quote + 1
  }
}

/** The index after the value that begins at `from`: a string, a nesting of brackets, or a bare word. */
function skipValue(json: string, from: number): number {
  if (json[from] === '"') return skipString(json, from)
  let depth = 0
  for (let at = from; at < json.length;) {
    const char = json[at]
    if (char === '"') {
      at = skipString(json, at)
      continue
    }
    if (char === '{' || char === '[') depth++
    else if (char === '}' || char === ']') {
      if (depth === 0) return at
      depth--
      if (depth === 0) return at + 1
    } else if (depth === 0 && (char === ',' || char === ' ' || char === '\n' || char === '\r' || char === '\t')) return at
    at++
  }
  return json.length
}
