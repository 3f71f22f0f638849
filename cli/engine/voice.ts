// cli/engine/voice.ts — what an answer is made of, and the shapes a voice must have: chat and text completions say the same things in
// different words. Types and usage only.

/** A token that was said, with its natural-log probability and the alternatives, best first. `bytes` null: not whole characters. */
export type Said = Alternative & { readonly start: number; readonly top: readonly Alternative[] }
export type Alternative = { readonly text: string; readonly bytes: readonly number[] | null; readonly logprob: number }

/** A piece of one choice. `said` is null when logprobs were not asked for. */
export type Words = { readonly text: string; readonly said: readonly Said[] | null }

export type FinishReason = 'stop' | 'length'
export type Choice = Words & { readonly finishReason: FinishReason }
export type Usage = { readonly promptTokens: number; readonly completionTokens: number }

/** What every chunk of one answer begins with. */
export type Head = { readonly id: string; readonly createdS: number; readonly model: string }

export type Voice = {
  /** The data of the event that ends a complete stream; null where the protocol ends it by closing. */
  readonly endMark: string | null
  /** Sent once per choice before its first words; null when this kind of answer has no opening. */
  readonly opening: (index: number) => object | null
  readonly words: (index: number, words: Words) => object
  /** `usage`: of this choice alone. */
  readonly closing: (index: number, finishReason: FinishReason, usage: Usage) => object
  /** The last chunk of a stream whose client asked for usage. */
  readonly usage: (usage: Usage) => object
  /** The whole answer of a request that is no stream. */
  readonly whole: (choices: readonly Choice[], usage: Usage) => object
}

export const openAiEndMark = '[DONE]'

/** OpenAI's usage block. No prompt is kept between requests, so nothing is ever cached. */
export function usageBlock({ promptTokens, completionTokens }: Usage): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: 0 },
  }
}
