// An event as Slack's incoming webhooks take it: `text` for notices, `blocks` for the message. Pure. What people wrote is escaped, so that it
// can neither link nor call anybody; nothing is longer than Slack takes, which would refuse the whole message.

import { limits } from '../../shared/limits.ts'
import type { Check, Verdict } from '../../shared/wire/gate.ts'
import type { WebhookEvent } from '../webhook-events.ts'

type SlackText = { readonly type: 'mrkdwn'; readonly text: string }
export type SlackMessage = {
  readonly text: string
  readonly blocks: readonly (
    | { readonly type: 'section'; readonly text: SlackText }
    | { readonly type: 'context'; readonly elements: readonly SlackText[] }
  )[]
}

export function slackOf(event: WebhookEvent): SlackMessage {
  const { rollout } = event.data
  const title = `${escaped(rollout.model)} in ${rollout.environment}: ${headlineOf(event)}`
  const weight = 'weightBp' in rollout ? `, canary weight ${percentOf(rollout.weightBp)}` : ''
  const way = `\`${escaped(rollout.from)}\` → \`${escaped(rollout.to)}\`${weight}`
  const verdicts = event.type === 'rollout.transition' ? [] : event.data.verdicts
  return {
    text: clipped(title),
    blocks: [
      section(`*${title}*\n${way}`),
      section(wordsOf(event)),
      ...verdicts.slice(0, limits.slackVerdictsMax).map((verdict) => section(verdictWords(verdict))),
      { type: 'context', elements: [mrkdwn(footerOf(event))] },
    ],
  }
}

function headlineOf(event: WebhookEvent): string {
  if (event.type !== 'rollout.transition') return inWords(event.type.slice('rollout.'.length))
  const { from, to } = event.data.transition
  return from === to ? inWords(to) : `${inWords(from)} → ${inWords(to)}`
}

function wordsOf(event: WebhookEvent): string {
  if (event.type === 'rollout.start_refused') return `gates refused it, and nothing has moved: ${escaped(event.data.reason)}`
  if (event.type !== 'rollout.transition') return escaped(event.data.text)
  const { detail, reason } = event.data.transition
  return escaped(reason === detail ? detail : `${detail} (${reason})`)
}

function footerOf({ data, timestamp }: WebhookEvent): string {
  const actor = 'actor' in data ? data.actor : data.transition?.actor
  const by = actor === undefined ? [] : [`by ${escaped(actor)}`]
  const which = data.rollout.id === null ? [] : [`rollout \`${escaped(data.rollout.id)}\``]
  return [...which, ...by, timestamp].join(', ')
}

const verdictWords = ({ gate, answer, mode, checks }: Verdict): string =>
  [`*${inWords(gate)}*: ${inWords(answer)} (mode ${mode})`, ...checks.filter((check) => check.answer !== 'pass').map(checkWords)].join('\n')

function checkWords({ metric, measured, bound, threshold, samples, reason }: Check): string {
  const against = threshold === null ? '' : `, at ${bound} ${rounded(threshold)}`
  return `• ${inWords(escaped(metric))} ${measured === null ? 'not measured' : rounded(measured)}${against}, ${samples} samples: ${escaped(reason)}`
}

const inWords = (name: string): string => name.replaceAll('_', ' ')
const percentOf = (weightBp: number): string => `${weightBp / 100} %`
const rounded = (value: number): string => String(Number(value.toPrecision(4)))

const section = (text: string) => ({ type: 'section', text: mrkdwn(text) }) as const
// Slack refuses an empty text.
const mrkdwn = (text: string): SlackText => ({ type: 'mrkdwn', text: clipped(text) || ' ' })

/** The three characters that Slack reads as its own (its page on formatting, escaping text). */
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/** Cut so that neither an escaped character nor one of two halves is left open. */
function clipped(text: string): string {
  if (text.length <= limits.slackTextCharsMax) return text
  const cut = text.slice(0, limits.slackTextCharsMax - 1).replace(/(?:&[a-z]*|[\uD800-\uDBFF])$/, '')
  return `${cut}…`
}
