// The log's line of a request that is over. Pure. It names keys by their ids and never repeats a prompt, an answer or a secret.

import { readApiKey } from '../../shared/ids.ts'
import type { Asked, Ended, Walked } from '../facts.ts'
import type { RequestLine } from '../ports.ts'

/** `nowMs`: when it was over. `ended` is null where there was no answer. */
export function lineOf(asked: Asked, walked: Walked, ended: Ended | null, nowMs: number): RequestLine {
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
