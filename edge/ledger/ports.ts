// What a ledger object needs of the world, as types. edge/deps.ts puts them together; the book itself needs none of it.

import type { Random } from '../../shared/random.ts'
import type { Clock, Timer } from '../../shared/time.ts'
import type { Endpoint } from '../../shared/wire/snapshot.ts'
import type { ProbeOrder, ProbeResult } from '../../shared/wire/probe.ts'

/** What one probe found. `notes` is for the next probe of the same kind, such as counters to take differences of: plain data, the prober's own business. */
export type Probed = Pick<ProbeResult, 'ok' | 'detail' | 'timedOut' | 'warming' | 'engine' | 'service'> & { readonly notes?: unknown }

/** Makes one probe. Never rejects, ends soon after the signal aborts, holds a bounded part of what comes back. */
export type Prober = {
  readonly probe: (order: ProbeOrder, endpoint: Endpoint, notes: unknown, signal: AbortSignal) => Promise<Probed>
}

export type LedgerPorts = {
  readonly clock: Clock
  readonly timer: Timer
  readonly random: Random
  readonly freshId: () => string
  readonly prober: Prober
  /** Whether a snapshot's text bears the deployment's signature; null while the deployment has no secret. */
  readonly verify: ((text: string, signature: string) => Promise<boolean>) | null
}
