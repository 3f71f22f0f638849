// What is kept of a request once it is over: the lease goes back with its outcome, and one line goes to the log.
// Waits for the last byte, so a lease covers the whole answer. Never touches the response.

import { readApiKey } from '../../shared/ids.ts'
import type { Asked, Ended, Walked } from '../facts.ts'
import type { EdgePorts } from '../ports.ts'
import { settledAfterAnswer } from './outcome.ts'

type Ports = Pick<EdgePorts, 'clock' | 'ledgers' | 'log' | 'cadences'>

/** Settles the serving lease and logs the request, refusals included. */
export async function record(asked: Asked, walked: Walked, ports: Ports): Promise<void> {
  const serving = walked.serving
  const ending = walked.answer.ok ? walked.answer.value.ended : Promise.resolve(null)
  const ended = await ending.catch((bug: unknown) => {
    // A bug must not take the endpoint's place with it until the deadline.
    if (serving) ports.ledgers.giveBack(serving.routed.endpoint.cell, serving.routed.lease)
    throw bug
  })
  if (ended && ended.slowestGapMs !== null && walked.admitted) ports.cadences.learn(walked.admitted.version, ended.slowestGapMs)
  if (serving && ended) {
    const { routed, ttfbMs, sentAtMs } = serving
    const took = { ttfbMs, tookMs: ports.clock.nowMs() - sentAtMs, stream: walked.admitted?.wish.stream ?? false }
    ports.ledgers.settle(routed.endpoint.cell, settledAfterAnswer(routed, ended, took))
  }
  ports.log(lineOf(asked, walked, ended, ports.clock.nowMs()))
}

function lineOf(asked: Asked, walked: Walked, ended: Ended | null, nowMs: number) {
  const { admitted, trail, serving } = walked
  return {
    event: 'request',
    requestId: asked.requestId,
    operation: asked.dialect.operation,
    tenant: admitted?.credential.tenant ?? null,
    // A refused caller's key id is worth knowing too; the id is no secret.
    key: admitted?.credential.id ?? keyIdOf(asked.authorization),
    model: admitted?.wish.model ?? null,
    version: trail.version,
    region: trail.region,
    endpoint: trail.endpoint,
    origin: asked.origin,
    stream: admitted?.wish.stream ?? null,
    status: walked.answer.ok ? walked.answer.value.status : null,
    refused: walked.answer.ok ? null : walked.answer.error.reason,
    ended: ended?.how ?? null,
    detail: ended?.detail ?? null,
    failed: walked.failed.map(({ endpoint, outcome, detail }) => ({ endpoint, outcome, detail })),
    way: serving?.routed.way ?? null,
    lease: serving?.routed.lease ?? null,
    priority: admitted?.priority ?? null,
    ttfbMs: serving?.ttfbMs ?? null,
    overheadMs: trail.overheadMs,
    durationMs: nowMs - asked.receivedAtMs,
    bytesOut: ended?.bytes ?? 0,
    inputTokens: ended?.usage?.inputTokens ?? null,
    outputTokens: ended?.usage?.outputTokens ?? null,
    cachedTokens: ended?.usage?.cachedTokens ?? null,
    ...(walked.explained ? { explained: walked.explained.rounds } : {}),
  }
}

const keyIdOf = (authorization: string | null): string | null => readApiKey(authorization?.split(' ').at(-1) ?? '')?.id ?? null
