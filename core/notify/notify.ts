// Tells webhooks what happened: changes that wait in the outbox become deliveries, and due deliveries are posted. A crash at any await and a
// repetition lose nothing: a change is done in the same batch that begins its deliveries, and a delivery that was posted but not noted down
// is posted again under the same webhook-id, by which its receiver knows it.

import { limits } from '../../shared/limits.ts'
import type { RolloutId } from '../../shared/ids.ts'
import { within } from '../../shared/time.ts'
import { signWebhook } from '../../shared/webhook-signature.ts'
import type { DeliveryRow, OutboxRow } from '../facts.ts'
import type { DeliveryStore, LoopPorts, OutboxStore, RolloutStore, VerdictStore } from '../ports.ts'
import type { WebhookEvent } from '../webhook-events.ts'
import { afterAttempt, unwanted, type AfterAttempt, type PostAnswer } from './back-off.ts'
import { eventIdOf, eventOf, type Told } from './event.ts'
import { slackOf } from './slack.ts'

export type NotifyPorts = Pick<LoopPorts, 'clock' | 'timer' | 'random' | 'poster' | 'openSecret'> & {
  readonly outbox: Pick<OutboxStore, 'undone'>
  readonly deliveries: Omit<DeliveryStore, 'list'>
  readonly rollouts: Pick<RolloutStore, 'get' | 'transitions'>
  readonly verdicts: Pick<VerdictStore, 'list'>
}

type Webhook = Awaited<ReturnType<DeliveryStore['webhooks']>>[number]

/**
 * One round; there must not be two at once. It lasts as long as deliveriesInRowMax posts at most, and rejects where the database fails or
 * gives no answer: then the next round meets the same work.
 */
export async function notify(ports: NotifyPorts, nowMs: number): Promise<void> {
  const { outbox, deliveries } = ports
  const rows = await stored(outbox.undone(['outbox', 'notify'], limits.outboxToldMax), ports)
  if (rows.length > 0) await begin({ rows, webhooks: await stored(deliveries.webhooks(), ports), nowMs }, ports)
  const due = await stored(deliveries.due(nowMs, limits.deliveriesDueMax), ports)
  if (due.length > 0) await deliver(due, await stored(deliveries.webhooks(), ports), ports)
}

/** A delivery per webhook that wants the event, in one batch with the row's being done. */
async function begin(
  { rows, webhooks, nowMs }: { readonly rows: readonly OutboxRow[]; readonly webhooks: readonly Webhook[]; readonly nowMs: number },
  ports: NotifyPorts,
): Promise<void> {
  const toldBy = new Map<RolloutId, Told | null>()
  for (const row of rows) {
    const told = toldBy.has(row.rollout) ? (toldBy.get(row.rollout) ?? null) : await toldOf(row.rollout, webhooks, ports)
    toldBy.set(row.rollout, told)
    const event = eventOf(row, told)
    const begun = event ? webhooks.filter((webhook) => wants(webhook, event)).map((webhook) => deliveryOf(row, event, webhook, nowMs)) : []
    await stored(ports.deliveries.begin(begun, [row.id], nowMs), ports)
  }
}

/** null where there is nobody to tell, so that nothing need be read. */
async function toldOf(id: RolloutId, webhooks: readonly Webhook[], { rollouts, verdicts, ...ports }: NotifyPorts): Promise<Told | null> {
  if (webhooks.length === 0) return null
  const page = { rollout: id, version: null, beforeSeq: null, limit: limits.verdictsToldMax }
  // The verdicts first: one that is stored after the changes were read belongs to a later change.
  const newest = await stored(verdicts.list(page), ports)
  const rollout = await stored(rollouts.get(id), ports)
  return rollout && { rollout, transitions: await stored(rollouts.transitions(id), ports), verdicts: newest }
}

const wants = ({ events }: Webhook, { type }: WebhookEvent): boolean => events === null || events.includes(type)

function deliveryOf(row: OutboxRow, event: WebhookEvent, { id: webhook }: Webhook, createdAtMs: number) {
  return { id: `${row.id}/${webhook}`, webhook, type: event.type, payload: JSON.stringify(event), createdAtMs }
}

/** Several webhooks side by side, each one's deliveries in order. Which webhooks is left to chance: slow ones must not always be first. */
async function deliver(due: readonly DeliveryRow[], webhooks: readonly Webhook[], ports: NotifyPorts): Promise<void> {
  const lanes = [...Map.groupBy(due, ({ webhook }) => webhook)]
    .map(([id, deliveries]) => ({ webhook: webhooks.find((each) => each.id === id) ?? null, deliveries, draw: ports.random() }))
    .toSorted((a, b) => a.draw - b.draw)
    .slice(0, limits.deliveriesAtOnceMax)
  const ends = await Promise.allSettled(lanes.map((lane) => deliverInRow(lane, ports)))
  const failed = ends.find((end) => end.status === 'rejected')
  if (failed) throw failed.reason
}

type Lane = { readonly webhook: Webhook | null; readonly deliveries: readonly DeliveryRow[] }

async function deliverInRow({ webhook, deliveries }: Lane, ports: NotifyPorts): Promise<void> {
  for (const delivery of deliveries.slice(0, limits.deliveriesInRowMax)) {
    const after = webhook ? await attempt(delivery, webhook, ports) : unwanted(delivery, ports.clock.nowMs())
    await stored(ports.deliveries.attempted(delivery.id, after), ports)
    // One that does not answer would let each of the others wait as long.
    if (webhook && after.lastStatus === null) return
  }
}

async function attempt(delivery: DeliveryRow, webhook: Webhook, ports: NotifyPorts): Promise<AfterAttempt> {
  const answer = await post(delivery, webhook, ports)
  return afterAttempt(delivery, answer, ports.clock.nowMs(), ports.random())
}

async function post(delivery: DeliveryRow, { format, url, secret: sealed, id }: Webhook, ports: NotifyPorts): Promise<PostAnswer> {
  const request = { url, withinMs: limits.deliveryMsMax }
  const headers = { 'content-type': 'application/json', 'user-agent': 'isochrone' }
  if (format === 'slack') {
    const body = JSON.stringify(slackOf(JSON.parse(delivery.payload) as WebhookEvent))
    return ports.poster.post({ ...request, headers, body })
  }
  const secret = await ports.openSecret(sealed, id)
  if (secret === null) return { status: null, error: 'the secret of the webhook cannot be read', retryAfterMs: null }
  const body = delivery.payload
  const signature = await signWebhook({ secret, id: eventIdOf(delivery), atMs: ports.clock.nowMs(), body })
  return ports.poster.post({ ...request, headers: { ...headers, ...signature }, body })
}

/** What the database says, if it says anything. */
async function stored<T>(answer: Promise<T>, { timer }: Pick<NotifyPorts, 'timer'>): Promise<T> {
  const late = Symbol('late')
  const told = await within<T, typeof late>(answer, limits.notifyStoreMsMax, late, timer)
  if (told === late) throw new Error(`notify: the database gave no answer in ${limits.notifyStoreMsMax} ms`)
  return told
}
