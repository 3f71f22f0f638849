// What a mixed load asks, drawn from a seed: kinds by weight, short answers, some in sessions. Pure: the same seed asks the same things.

import { drawWeighted, type Random } from '../../shared/random.ts'

/** `left`: its client hangs up in the middle. `bad`: it must be refused with a status of 400 to 499. */
export const kinds = ['chat', 'chat_stream', 'completion', 'completion_stream', 'embedding', 'left', 'bad'] as const
export type Kind = (typeof kinds)[number]

/** Weights; kinds that are not named are not asked. */
export type Mix = Readonly<Partial<Record<Kind, number>>>

/** Half of it streams. */
export const plainMix: Mix = { chat: 3, chat_stream: 4, completion: 1, completion_stream: 1, embedding: 1 }
export const roughMix: Mix = { ...plainMix, left: 0.7, bad: 0.7 }

export type Planned = {
  readonly kind: Kind
  readonly path: string
  readonly body: string
  readonly isStream: boolean
  readonly session: string | null
  /** When its client hangs up, in milliseconds after sending; null: never. */
  readonly leavesAfterMs: number | null
}

const questions = ['What is the capital of Kenya?', 'What is the capital of Peru?', 'Which countries border Germany?', 'Where is Chad?']
const sessions = 12
const sessionShare = 0.3
/** Enough to show that tokens follow each other, few enough for a machine that has more to do. */
const tokensMax = 4
/** A client that leaves wants a long answer, and goes while it is being given. */
const leftTokens = 200
const leavesMsMax = 400

/** The next request. Takes the same number of draws for every kind, so that one kind's luck does not shift another's. */
export function planRequest(mix: Mix, model: string, random: Random): Planned {
  const kind = drawWeighted(kinds, (each) => mix[each] ?? 0, random) ?? 'chat'
  const question = questions[Math.floor(random() * questions.length)] ?? ''
  const tokens = 1 + Math.floor(random() * tokensMax)
  const [sessionLuck, whichSession, leaveLuck, whichBad] = [random(), random(), random(), random()]
  const session = sessionLuck < sessionShare ? `session-${Math.floor(whichSession * sessions)}` : null
  const whole = { ...pathAndBody(kind, { model, question, tokens }), kind, session }
  if (kind === 'left') return { ...whole, leavesAfterMs: 1 + Math.floor(leaveLuck * leavesMsMax) }
  if (kind === 'bad') return { ...whole, ...badRequest(whichBad, model), leavesAfterMs: null }
  return { ...whole, leavesAfterMs: null }
}

type Asked = { readonly model: string; readonly question: string; readonly tokens: number }

function pathAndBody(kind: Kind, { model, question, tokens }: Asked): Pick<Planned, 'path' | 'body' | 'isStream'> {
  const isStream = kind === 'chat_stream' || kind === 'completion_stream' || kind === 'left'
  const common = { model, max_tokens: kind === 'left' ? leftTokens : tokens, ...(isStream ? { stream: true } : {}) }
  switch (kind) {
    case 'embedding':
      return { path: '/v1/embeddings', body: JSON.stringify({ model, input: [question] }), isStream }
    case 'completion':
    case 'completion_stream':
      return { path: '/v1/completions', body: JSON.stringify({ ...common, prompt: question }), isStream }
    default:
      return {
        path: '/v1/chat/completions',
        body: JSON.stringify({ ...common, messages: [{ role: 'user', content: question }] }),
        isStream,
      }
  }
}

/** Ways of being wrong: some are seen by the edge, the last by the engine. */
function badRequest(luck: number, model: string): Pick<Planned, 'body' | 'path' | 'isStream'> {
  const messages = [{ role: 'user', content: 'hi' }]
  const bodies = [
    '{"model": "atlas", "messages": [',
    JSON.stringify({ model: 'no-such-model', messages }),
    JSON.stringify({ model, messages: 'hi' }),
    JSON.stringify({ model, messages, temperature: 'hot' }),
  ]
  return { path: '/v1/chat/completions', body: bodies[Math.floor(luck * bodies.length)] ?? '', isStream: false }
}
