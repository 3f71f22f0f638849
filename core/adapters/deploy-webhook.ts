// Whoever makes versions exist by his own means (a Kubernetes controller, a Slurm script, a person): told what is wanted by a signed webhook
// (Standard Webhooks), and reports back when it is so. A telling says what is wanted now and not what happened, so each has an id of its own:
// who has lost one must not take the next for a repetition.

import { limits } from '../../shared/limits.ts'
import { signWebhook } from '../../shared/webhook-signature.ts'
import type { DeployedVersion, DeployProgress, DeployTarget, Poster } from '../ports.ts'
import { servedNameOf } from '../served-name.ts'

export type Teller = {
  readonly poster: Poster
  readonly nowMs: () => number
  readonly freshId: () => string
  /** Where core can be reached from outside, without a slash at the end; null: not known, then only the path is told. */
  readonly coreUrl: string | null
}

/** Where the other side reports to (core/app.ts), signed with the same secret. */
export const reportPathOf = (target: DeployTarget['id'], version: DeployedVersion['id']): string =>
  `/hooks/v1/deployments/${encodeURIComponent(target)}/${encodeURIComponent(version)}`

/** Tells once what is wanted. `loading` when it was heard: all else comes as a report. Never throws. */
export async function tell(
  type: 'deployment.wanted' | 'deployment.unwanted',
  of: { readonly target: DeployTarget; readonly version: DeployedVersion; readonly secret: string },
  teller: Teller,
): Promise<DeployProgress> {
  const url = of.target.deploy['webhookUrl']
  if (url === undefined) return { state: 'failed', detail: 'the target names no webhookUrl', mayRetry: false }
  const atMs = teller.nowMs()
  const body = JSON.stringify({ type, timestamp: new Date(atMs).toISOString(), data: dataOf(of, teller) })
  const signed = await signWebhook({ secret: of.secret, id: `deploy_${teller.freshId()}`, atMs, body })
  const headers = { 'content-type': 'application/json', ...signed }
  const { status, error } = await teller.poster.post({ url, headers, body, withinMs: limits.deployCallMsMax })
  if (status !== null && status >= 200 && status < 300) return { state: 'loading', detail: `told (${status}); nothing was reported yet` }
  const detail = status === null ? `not told: ${error ?? 'no answer'}` : `told, the webhook ${error ?? `answered ${status}`}`
  return { state: 'failed', detail, mayRetry: status === null ? mayPass(error) : status >= 500 || passing.has(status) }
}

const passing = new Set([404, 408, 409, 425, 429])

/** An address that may not be called will not be called another time. */
const mayPass = (error: string | null): boolean => !/not public|redirect/.test(error ?? '')

function dataOf({ target, version }: { readonly target: DeployTarget; readonly version: DeployedVersion }, { coreUrl }: Teller) {
  const reportPath = reportPathOf(target.id, version.id)
  return {
    target: target.id,
    version: version.id,
    model: version.model,
    artifact: version.artifact,
    digest: version.digest,
    flags: version.flags,
    // The server at the url must answer to this name.
    servedName: servedNameOf(version, 'webhook'),
    region: target.region,
    url: target.url,
    slots: target.slots,
    reportPath,
    reportUrl: coreUrl === null ? null : coreUrl + reportPath,
  }
}
