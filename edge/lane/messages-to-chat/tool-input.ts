// A tool call's arguments on their way from a model, which may write anything, to clients that must be able to parse them. Passed on as they
// come, whatever the pieces; what goes out is one JSON object in the end. A text that stops being JSON is closed where it does, and what
// follows goes into the field INVALID_JSON, Anthropic's own name for it: no tool takes such an object for a good one. Pure, and bounded.

export type ToolInput = {
  /** What can go out after this piece. Spaces between tokens are left out. */
  readonly push: (text: string) => string
  /** Whether the object has been read to its end. */
  readonly complete: () => boolean
  /** What is missing to make it whole; nothing is to be pushed afterwards. Nothing at all came out when there were no arguments. */
  readonly end: () => string
}

/** Deeper nesting and longer numbers are taken for garbage: both would have to be kept. */
const depthMax = 256
const wordCharsMax = 128

const number = /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/
const isWord = (word: string): boolean => number.test(word) || word === 'true' || word === 'false' || word === 'null'
const escaped = (text: string): string => JSON.stringify(text).slice(1, -1)

type State = 'start' | 'first key' | 'key' | 'colon' | 'first value' | 'value' | 'word' | 'next' | 'string' | 'escape' | 'whole' | 'invalid'

export function toolInput(): ToolInput {
  const reader = new Reader()
  return {
    push: (text) => reader.push(text),
    complete: () => reader.state === 'whole',
    end: () => reader.end(),
  }
}

/** Reads character by character. Whatever cannot stand alone (a comma, a colon, half an escape, half a number) is held, so that what went out can always be closed. */
class Reader {
  state: State = 'start'
  #out = ''
  #held = ''
  #open = ''
  #inKey = false
  /** A key has gone out whose value has not. */
  #owesValue = false
  #hasMembers = false

  push(text: string): string {
    this.#out = ''
    if (this.state === 'invalid') return escaped(text)
    for (let at = 0; at < text.length; at++) {
      if (!this.#take(text[at] ?? '')) {
        this.#giveUp(text.slice(at))
        break
      }
    }
    return this.#out
  }

  end(): string {
    this.#out = ''
    if (this.state === 'start') return ''
    if (this.state === 'whole') return '}'
    if (this.state !== 'invalid') this.#giveUp('')
    return `${this.#out}"}`
  }

  /** False when the character cannot come here. */
  #take(char: string): boolean {
    if (this.state === 'string') return this.#inString(char)
    if (this.state === 'escape') return this.#inEscape(char)
    if (this.state === 'word' && /[-+.\w]/.test(char)) {
      this.#held += char
      return this.#held.length <= wordCharsMax
    }
    if (this.state === 'word' && !this.#endWord()) return false
    return char === ' ' || char === '\n' || char === '\r' || char === '\t' || this.#token(char)
  }

  #token(char: string): boolean {
    switch (this.state) {
      case 'start':
        return char === '{' && this.#openBracket(char)
      case 'first key':
        return char === '}' ? this.#close(char) : char === '"' && this.#beginString(true)
      case 'key':
        return char === '"' && this.#beginString(true)
      case 'colon':
        return char === ':' && this.#hold(char, 'value')
      case 'first value':
        return char === ']' ? this.#close(char) : this.#beginValue(char)
      case 'value':
        return this.#beginValue(char)
      case 'next':
        if (char === ',') return this.#hold(char, this.#open.endsWith('{') ? 'key' : 'value')
        return this.#close(char)
      default:
        return false
    }
  }

  #hold(char: string, next: State): boolean {
    this.#held = char
    this.state = next
    return true
  }

  #release(text: string): void {
    this.#out += this.#held + text
    this.#held = ''
  }

  #beginValue(char: string): boolean {
    if (char === '"') return this.#beginString(false)
    if (char === '{' || char === '[') return this.#openBracket(char)
    if (!/[-\dtfn]/.test(char)) return false
    this.#held += char
    this.state = 'word'
    return true
  }

  #beginString(isKey: boolean): boolean {
    this.#release('"')
    this.#inKey = isKey
    this.#owesValue = isKey
    if (isKey) this.#hasMembers = true
    this.state = 'string'
    return true
  }

  #inString(char: string): boolean {
    if (char < ' ') return false
    if (char === '\\') return this.#hold(char, 'escape')
    this.#out += char
    if (char === '"') this.state = this.#inKey ? 'colon' : 'next'
    return true
  }

  #inEscape(char: string): boolean {
    const isFirst = this.#held.length === 1
    if (!(isFirst ? /["\\/bfnrtu]/ : /[\da-fA-F]/).test(char)) return false
    this.#held += char
    if (this.#held.length < (this.#held[1] === 'u' ? 6 : 2)) return true
    this.#release('')
    this.state = 'string'
    return true
  }

  #endWord(): boolean {
    if (!isWord(this.#held.replace(/^[,:]/, ''))) return false
    this.#release('')
    this.#owesValue = false
    this.state = 'next'
    return true
  }

  #openBracket(char: string): boolean {
    if (this.#open.length >= depthMax) return false
    this.#release(char)
    this.#open += char
    this.#owesValue = false
    this.state = char === '{' ? 'first key' : 'first value'
    return true
  }

  #close(char: string): boolean {
    if (!this.#open.endsWith(char === '}' ? '{' : char === ']' ? '[' : ' ')) return false
    this.#open = this.#open.slice(0, -1)
    // The last bracket stays back: there may be something behind it that does not belong there.
    if (this.#open !== '') this.#out += char
    this.state = this.#open === '' ? 'whole' : 'next'
    return true
  }

  /** Closes what is open but for the outermost bracket, and begins the field that says so with what was held and `rest`. */
  #giveUp(rest: string): void {
    const inString = this.state === 'string' || this.state === 'escape'
    const closers = this.#open
      .slice(1)
      .split('')
      .map((bracket) => (bracket === '{' ? '}' : ']'))
      .toReversed()
    this.#out += `${this.state === 'start' ? '{' : ''}${inString ? '"' : ''}${this.#owesValue ? ':null' : ''}${closers.join('')}`
    this.#out += `${this.#hasMembers ? ',' : ''}"INVALID_JSON":"${escaped(this.#held + rest)}`
    this.#held = ''
    this.state = 'invalid'
  }
}
