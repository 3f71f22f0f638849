// cli/engine/prompt.ts — from what was asked to the tokens a model reads, or a refusal. Never cuts a prompt.
import type { Prompt } from './completions.ts'
import type { Model } from './model.ts'
import { contextExceeded, invalid, no, ok, type Refusal, type Result } from './refuse.ts'
import { renderChat, type Message } from './template.ts'

type Tokenizer = Pick<Model, 'tokenise' | 'startToken' | 'template' | 'vocabularySize' | 'tokenLengthMax' | 'contextTokens'>

/** The tokens of a conversation. Refused when the template does not accept it, or when it leaves no room for an answer. */
export function chatPrompt(model: Tokenizer, messages: readonly Message[], nonce: string): Result<readonly number[]> {
  const rendered = renderChat(model.template, messages, nonce)
  if (!rendered.ok) return no(invalid(rendered.message, 'messages'))
  const tooLong = farTooLong(model, rendered.parts.map((part) => part.text).join(''))
  if (tooLong !== null) return no(tooLong)
  const tokens = rendered.parts.flatMap((part) => model.tokenise(part.text, part.isTemplate))
  return fitting(model, withStart(model, tokens), 'messages')
}

/**
 * The tokens of a prompt given as text or as tokens. `parsesControl`: in a text completion the caller writes the whole prompt, so control
 * tokens in it count, as with other engines; in text to be embedded they do not. `field` names the body's field in refusals.
 */
export function textPrompt(model: Tokenizer, prompt: Prompt, field: string, parsesControl: boolean): Result<readonly number[]> {
  if (typeof prompt === 'string') {
    const tooLong = farTooLong(model, prompt)
    return tooLong !== null ? no(tooLong) : fitting(model, withStart(model, model.tokenise(prompt, parsesControl)), field)
  }
  const isKnown = prompt.every((token) => token < model.vocabularySize)
  if (!isKnown) return no(invalid(`Invalid '${field}': the vocabulary has ${model.vocabularySize} tokens`, field))
  return fitting(model, withStart(model, prompt), field)
}

/** Enough text for an estimate within a few per cent, and few enough to count in some milliseconds. */
const sampleLength = 32_768

/**
 * A refusal for text that cannot fit whatever its tokens are, else null. Tokenising ten megabytes keeps the process from everything else for
 * seconds, so the number of tokens is then an estimate from the text's beginning.
 */
function farTooLong({ tokenise, tokenLengthMax, contextTokens }: Tokenizer, text: string): Refusal | null {
  const fitsAtMost = Math.max(sampleLength, contextTokens * tokenLengthMax)
  if (text.length <= fitsAtMost) return null
  const perUnit = tokenise(text.slice(0, sampleLength), false).length / sampleLength
  return contextExceeded(Math.max(contextTokens, Math.ceil(text.length * perUnit)), contextTokens)
}

function withStart({ startToken }: Tokenizer, tokens: readonly number[]): readonly number[] {
  // Templates may write it themselves.
  return startToken === null || tokens[0] === startToken ? tokens : [startToken, ...tokens]
}

function fitting({ contextTokens }: Tokenizer, tokens: readonly number[], field: string): Result<readonly number[]> {
  if (tokens.length === 0) return no(invalid(`Invalid '${field}': the prompt is empty`, field))
  // One place must stay free for the first token of the answer.
  return tokens.length < contextTokens ? ok(tokens) : no(contextExceeded(tokens.length, contextTokens))
}
