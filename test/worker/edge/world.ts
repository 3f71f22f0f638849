// What the edge's tests inside workerd share.

import { env, exports } from 'cloudflare:workers'
import type { EdgeEnv } from '../../../edge/deps.ts'
import { signerOf } from '../../../shared/signature.ts'
import type { LedgerCalls } from '../../../shared/wire/ledger.ts'
import type { Snapshot } from '../../../shared/wire/snapshot.ts'
import { keyText } from '../../support/credential.ts'

export const testEnv = env as unknown as EdgeEnv

const edge = (exports as unknown as { readonly default: Fetcher }).default

export const ledger = (name: string): LedgerCalls => testEnv.LEDGER.get(testEnv.LEDGER.idFromName(name))

/** A request to the Worker, with the demo key unless told otherwise. */
export function send(
  path: string,
  init: Omit<RequestInit, 'headers'> & { readonly headers?: Record<string, string> } = {},
): Promise<Response> {
  return edge.fetch(`http://edge.test${path}`, { ...init, headers: { authorization: `Bearer ${keyText}`, ...init.headers } })
}

export const post = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  send(path, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), headers })

/** What core would sign it with. */
export async function sign(snapshot: Snapshot): Promise<string | null> {
  const signer = await signerOf(testEnv.CREDENTIAL_KEY)
  return signer && signer.sign(JSON.stringify(snapshot))
}

/** Tells a snapshot to the home object and to every cell it names, as core would. */
export async function publish(snapshot: Snapshot): Promise<void> {
  const cells = new Set(snapshot.endpoints.map(({ cell }) => cell))
  const signature = await sign(snapshot)
  await Promise.all([
    ...[...cells].map((cell) => ledger(cell).exchange({ snapshot, signature, cell })),
    ledger('home:enam').exchange({ snapshot, signature, cell: null }),
  ])
}
