// cli/engine/chat.ts — chat completions: the body read into what was asked, and the answer's words put into OpenAI's chunks. Pure.
import * as v from 'valibot'
import { firstProblem } from './problem.ts'
import { invalid, no, ok, unsupported, type Result } from './refuse.ts'
import { askedFields, askedOf, flag, topLogprobsMax, whole, type Asked } from './sampling.ts'
import type { Message } from './template.ts'
import { openAiEndMark, usageBlock, type Alternative, type Head, type Said, type Voice } from './voice.ts'

export type ChatAsked = Asked & { readonly messages: readonly Message[] }

/** More messages than any context here can hold. */
const messagesMax = 2048

const parts = v.array(
  v.object({ type: v.literal('text', "only parts of type 'text' are supported"), text: v.string('must be a string') }, 'must be an object'),
)
const text = v.string('must be a string or a list of text parts')
const MessageBody = v.object(
  {
    role: v.picklist(
      ['system', 'developer', 'user', 'assistant', 'tool'],
      "must be one of 'system', 'developer', 'user', 'assistant' and 'tool'",
    ),
    // An assistant's message that only called tools has a null content.
    content: v.nullish(v.lazy((value) => (Array.isArray(value) ? parts : text))),
  },
  'must be an object',
)

const ChatBody = v.object({
  ...askedFields,
  messages: v.pipe(
    v.array(MessageBody, 'must be a list of messages'),
    v.minLength(1, 'must hold at least one message'),
    v.maxLength(messagesMax, `must hold at most ${messagesMax} messages`),
  ),
  logprobs: v.nullish(flag),
  top_logprobs: v.nullish(whole(0, topLogprobsMax)),
})

/** Reads a body. Refused with the field's place when a known field has a wrong type or value; unknown fields are ignored. */
export function readChat(body: unknown, temperatureDefault: number): Result<ChatAsked> {
  const read = v.safeParse(ChatBody, body)
  if (!read.success) {
    const { message, param } = firstProblem(read.issues)
    return no(invalid(message, param))
  }
  const { logprobs, top_logprobs: topLogprobs, messages } = read.output
  const isAsked = logprobs ?? false
  if (!isAsked && typeof topLogprobs === 'number') return no(unsupported('top_logprobs', "'top_logprobs' needs 'logprobs' to be true"))
  const asked = askedOf(read.output, isAsked ? (topLogprobs ?? 0) : null, temperatureDefault)
  return ok({ ...asked, messages: messages.map(messageOf) })
}

function messageOf({ role, content }: v.InferOutput<typeof MessageBody>): Message {
  const joined = Array.isArray(content) ? content.map((part) => part.text).join('') : (content ?? '')
  // Templates know only 'system'; OpenAI renamed it to 'developer' for newer models.
  return { role: role === 'developer' ? 'system' : role, content: joined }
}

/** The words of one chat answer. */
export function chatVoice(head: Head): Voice {
  const chunk = (choices: readonly object[], more: object = {}): object => ({
    id: head.id,
    object: 'chat.completion.chunk',
    created: head.createdS,
    model: head.model,
    choices,
    ...more,
  })
  return {
    endMark: openAiEndMark,
    opening: (index) => chunk([{ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }]),
    words: (index, { text: content, said }) =>
      chunk([{ index, delta: { content }, logprobs: said === null ? null : logprobsBlock(said), finish_reason: null }]),
    closing: (index, finishReason) => chunk([{ index, delta: {}, logprobs: null, finish_reason: finishReason }]),
    usage: (usage) => chunk([], { usage: usageBlock(usage) }),
    whole: (choices, usage) => ({
      id: head.id,
      object: 'chat.completion',
      created: head.createdS,
      model: head.model,
      choices: choices.map((choice, index) => ({
        index,
        message: { role: 'assistant', content: choice.text, refusal: null },
        logprobs: choice.said === null ? null : logprobsBlock(choice.said),
        finish_reason: choice.finishReason,
      })),
      usage: usageBlock(usage),
    }),
  }
}

const tokenBlock = ({ text: token, logprob, bytes }: Alternative): object => ({ token, logprob, bytes })

function logprobsBlock(said: readonly Said[]): object {
  return { content: said.map((token) => ({ ...tokenBlock(token), top_logprobs: token.top.map(tokenBlock) })), refusal: null }
}
