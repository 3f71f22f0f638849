// cli/engine/model.ts — the port to whatever runs a model. llama.ts implements it with llama.cpp; tests with a few lines. Types only.
import type { Slots } from './slots.ts'
import type { ChatTemplate } from './template.ts'
import type { Sampled } from './transcript.ts'

/** How one sequence samples. `topCount` null: no probabilities; 0: that of the chosen token alone. */
export type SampleOptions = {
  readonly temperature: number
  readonly topP: number
  readonly seed: number
  readonly topCount: number | null
}

/** One place in the model's context. Used by one request at a time, and cleared before the next. */
export type Sequence = {
  /** Reads the prompt and yields token after token, end tokens included, until the caller leaves. */
  readonly sample: (prompt: readonly number[], options: SampleOptions) => AsyncGenerator<Sampled, void, void>
  readonly clear: () => Promise<void>
}

export type Model = {
  readonly name: string
  readonly path: string
  readonly fileBytes: number
  readonly createdS: number
  /** Tokens that one sequence holds, prompt and answer together. */
  readonly contextTokens: number
  readonly trainContextTokens: number
  readonly embeddingSize: number
  readonly vocabularySize: number
  /** No token stands for more UTF-16 units of text than this. */
  readonly tokenLengthMax: number
  readonly template: ChatTemplate
  /** The token every prompt must begin with, if the file asks for one. */
  readonly startToken: number | null
  /** `parsesControl`: whether names of control tokens in `text` become those tokens. */
  readonly tokenise: (text: string, parsesControl: boolean) => readonly number[]
  /** The text of `tokens` after `before`; control tokens have none, an unfinished character gives U+FFFD. */
  readonly detokenise: (tokens: readonly number[], before: readonly number[]) => string
  readonly isEnd: (token: number) => boolean
  readonly slots: Slots<Sequence>
  readonly embed: (tokens: readonly number[]) => Promise<readonly number[]>
  readonly close: () => Promise<void>
}
