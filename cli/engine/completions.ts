// cli/engine/completions.ts — text completions: the body read into prompts, and the answer's words put into OpenAI's chunks. Pure.
import * as v from 'valibot'
import { firstProblem } from './problem.ts'
import { invalid, no, ok, unsupported, type Result } from './refuse.ts'
import { askedFields, askedOf, flag, topLogprobsMax, whole, type Asked } from './sampling.ts'
import { openAiEndMark, usageBlock, type Head, type Said, type Voice } from './voice.ts'

/** Text, or the tokens themselves. */
export type Prompt = string | readonly number[]
export type CompletionsAsked = Asked & { readonly prompts: readonly Prompt[] }

/** Prompts times choices: each takes a place in the queue. */
export const answersMax = 16

const promptText = v.string('must be a string, a list of strings or a list of tokens')
const token = v.pipe(v.number('must be a token'), v.safeInteger('must be a token'), v.minValue(0, 'must be a token'))
export const tokens = v.pipe(v.array(token), v.minLength(1, 'must not be empty'))
const promptTexts = v.pipe(
  v.array(promptText),
  v.minLength(1, 'must not be empty'),
  v.maxLength(answersMax, `must be at most ${answersMax} prompts`),
)
const promptTokenLists = v.pipe(
  v.array(tokens),
  v.minLength(1, 'must not be empty'),
  v.maxLength(answersMax, `must be at most ${answersMax} prompts`),
)

const CompletionsBody = v.object({
  ...askedFields,
  prompt: v.lazy((value) => {
    const first: unknown = Array.isArray(value) ? value[0] : null
    if (typeof first === 'number') return tokens
    if (Array.isArray(first)) return promptTokenLists
    return Array.isArray(value) ? promptTexts : promptText
  }),
  logprobs: v.nullish(whole(0, topLogprobsMax)),
  echo: v.nullish(flag),
  suffix: v.nullish(v.string('must be a string')),
})

/** Reads a body. Refused: wrong types with the field's place, `echo`, `suffix`, and more than 16 answers in one request. */
export function readCompletions(body: unknown, temperatureDefault: number): Result<CompletionsAsked> {
  const read = v.safeParse(CompletionsBody, body)
  if (!read.success) {
    const { message, param } = firstProblem(read.issues)
    return no(invalid(message, param))
  }
  const { prompt, echo, suffix, logprobs } = read.output
  if (echo === true) return no(unsupported('echo', "'echo' is not supported"))
  if (typeof suffix === 'string' && suffix !== '') return no(unsupported('suffix', "'suffix' is not supported"))
  const asked = askedOf(read.output, logprobs ?? null, temperatureDefault)
  const prompts = promptsOf(prompt)
  if (prompts.length * asked.choices > answersMax) {
    return no(invalid(`Invalid 'n': prompts times choices must be at most ${answersMax}`, 'n'))
  }
  return ok({ ...asked, prompts })
}

function promptsOf(prompt: string | readonly (string | number | readonly number[])[]): readonly Prompt[] {
  if (typeof prompt === 'string') return [prompt]
  const lists = prompt.filter((item) => typeof item !== 'number')
  // A list of numbers is one prompt, given as tokens.
  return lists.length > 0 ? lists : [prompt.filter((item) => typeof item === 'number')]
}

/** The words of one text completion. */
export function completionsVoice(head: Head): Voice {
  const block = (choices: readonly object[], more: object = {}): object => ({
    id: head.id,
    object: 'text_completion',
    created: head.createdS,
    model: head.model,
    choices,
    ...more,
  })
  return {
    endMark: openAiEndMark,
    opening: () => null,
    words: (index, { text, said }) => block([{ index, text, logprobs: said === null ? null : logprobsBlock(said), finish_reason: null }]),
    closing: (index, finishReason) => block([{ index, text: '', logprobs: null, finish_reason: finishReason }]),
    usage: (usage) => block([], { usage: usageBlock(usage) }),
    whole: (choices, usage) => {
      const rows = choices.map(({ text, said, finishReason }, index) => ({
        index,
        text,
        logprobs: said === null ? null : logprobsBlock(said),
        finish_reason: finishReason,
      }))
      return block(rows, { usage: usageBlock(usage) })
    },
  }
}

function logprobsBlock(said: readonly Said[]): object {
  return {
    tokens: said.map((one) => one.text),
    token_logprobs: said.map((one) => one.logprob),
    top_logprobs: said.map((one) => Object.fromEntries(one.top.map((other) => [other.text, other.logprob]))),
    text_offset: said.map((one) => one.start),
  }
}
