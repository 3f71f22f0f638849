// The signed word by which requests are served by one version (shared/wire/override.ts), kept fresh for as long as it is needed.

import type { Environment } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import type { CoreClient } from '../api/core-client.ts'
import { overrideSchema, read, type OverrideRow } from '../api/shapes.ts'
import type { World } from '../api/world.ts'

/** Another is asked for while the old one still holds: a request may wait for minutes before the edge reads it. */
const refreshedBeforeMs = 10 * 60_000

export type Overrides = { readonly headers: () => Promise<Readonly<Record<string, string>>> }

/** One override for whoever asks, renewed in time. Its call throws what core refuses. */
export function keepOverride(
  { version, environment }: { readonly version: string; readonly environment: Environment },
  core: CoreClient,
  { clock }: Pick<World, 'clock'>,
): Overrides {
  let held: OverrideRow | null = null
  let asking: Promise<OverrideRow> | null = null
  const ask = async (): Promise<OverrideRow> => {
    const { body } = await core.postAgain(['versions', version, 'override'], { environment, forMs: limits.overrideMsDefault })
    return read(overrideSchema, body, 'override')
  }
  return {
    headers: async () => {
      if (!held || held.expiresAtMs - clock.nowMs() < refreshedBeforeMs) {
        // Of those that notice at once one asks.
        asking ??= ask().finally(() => (asking = null))
        held = await asking
      }
      return { [held.header]: held.value }
    },
  }
}
