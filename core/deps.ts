// The one file that reads the environment: it names core's bindings and puts an adapter behind each port.

import { allowsPrivate } from '../shared/address.ts'
import { sha256Hex } from '../shared/hash.ts'
import type { WebhookId } from '../shared/ids.ts'
import { open, seal, sealKeyOf } from '../shared/sealed.ts'
import { signerOf } from '../shared/signature.ts'
import { freshId, systemClock, systemRandom, systemTimer } from '../shared/system.ts'
import type { LedgerCalls } from '../shared/wire/ledger.ts'
import { overridePurpose } from '../shared/wire/override.ts'
import { catalogueReader } from './adapters/catalogue.ts'
import { controllerCalls } from './adapters/controller.ts'
import { kvCopies } from './adapters/copies.ts'
import { credentials } from './adapters/credentials.ts'
import { deliveryStore } from './adapters/deliveries.ts'
import { deployers } from './adapters/deployers.ts'
import { deploymentStore } from './adapters/deployments.ts'
import { eventStore } from './adapters/events.ts'
import { ledgers } from './adapters/ledgers.ts'
import { loadRunStore } from './adapters/load-runs.ts'
import { memory } from './adapters/memory.ts'
import { outboxStore } from './adapters/outbox.ts'
import { poster } from './adapters/poster.ts'
import { reportStore } from './adapters/reports.ts'
import { rolloutStore } from './adapters/rollouts.ts'
import { rowStore } from './adapters/rows.ts'
import { targetSecret } from './adapters/target-secret.ts'
import { verdictStore } from './adapters/verdicts.ts'
import { webhookSealName } from './api/webhook.ts'
import { compareReports } from './compare.ts'
import type { AdminPorts, ControllerCalls, Credentials, LoopPorts } from './ports.ts'

export type CoreEnv = {
  readonly DB: D1Database
  readonly STATE: KVNamespace
  readonly CONTROLLER: DurableObjectNamespace<ControllerCalls & Rpc.DurableObjectBranded>
  /** Absent until the edge Worker, whose class this is, has been deployed once. */
  readonly LEDGER?: DurableObjectNamespace<LedgerCalls & Rpc.DurableObjectBranded>
  /** Secret. Without it the admin API lets nobody in. */
  readonly OPERATOR_TOKEN?: string
  /** Secret, the same as the edge's. Without it no endpoint can be given a credential. */
  readonly CREDENTIAL_KEY?: string
  /** Where this Worker is reached from outside, for those who report back to it (/hooks/v1); unset: they are not told. */
  readonly CORE_URL?: string
  /** What the operator's token lets its bearer do beyond the ordinary, separated by commas: rollouts:promote-full. Unset: nothing. */
  readonly OPERATOR_SCOPES?: string
  /** 'true' lets endpoints stand at addresses that are not public; unset in deployments. */
  readonly ALLOW_PRIVATE_ENDPOINTS?: string
}

export async function adminPorts(env: CoreEnv): Promise<AdminPorts> {
  return {
    clock: systemClock,
    timer: systemTimer,
    freshId,
    seal: await sealer(env),
    allowPrivateEndpoints: allowsPrivate(env.ALLOW_PRIVATE_ENDPOINTS),
    rows: rowStore(env.DB),
    events: eventStore(env.DB),
    rollouts: rolloutStore(env.DB),
    verdicts: verdictStore(env.DB),
    reports: reportStore(env.DB),
    loadRuns: loadRunStore(env.DB),
    deployments: deploymentStore(env.DB),
    deliveries: deliveryStore(env.DB),
    overrideSigner: await signerOf(env.CREDENTIAL_KEY, overridePurpose),
    openTargetSecret: (target) => targetSecret(env.DB, env.CREDENTIAL_KEY, target),
    compareReports,
    operatorScopes: (env.OPERATOR_SCOPES ?? '').split(',').flatMap((scope) => scope.trim() || []),
    controller: controllerPort(env),
    operatorTokenSha256: env.OPERATOR_TOKEN ? await sha256Hex(env.OPERATOR_TOKEN) : null,
    log: (line) => console.error(JSON.stringify(line)),
  }
}

async function openWebhookSecret(env: CoreEnv, sealed: string, webhook: WebhookId): Promise<string | null> {
  const key = await sealKeyOf(env.CREDENTIAL_KEY ?? '')
  const opened = key.ok ? await open(sealed, webhookSealName(webhook), key.value) : null
  return opened?.ok ? opened.value : null
}

/** null while there is no secret, or one that can be guessed. */
async function sealer(env: CoreEnv): Promise<AdminPorts['seal']> {
  const key = await sealKeyOf(env.CREDENTIAL_KEY ?? '')
  return key.ok ? (text, endpoint) => seal(text, endpoint, key.value) : null
}

export function loopPorts(env: CoreEnv, storage: DurableObjectStorage): LoopPorts {
  const allowPrivate = allowsPrivate(env.ALLOW_PRIVATE_ENDPOINTS)
  const posts = poster(allowPrivate)
  return {
    clock: systemClock,
    timer: systemTimer,
    random: systemRandom,
    catalogue: catalogueReader(env.DB),
    credentials: credentials(env.DB),
    ledgers: env.LEDGER ? ledgers(env.LEDGER) : null,
    copies: kvCopies(env.STATE, () => signerOf(env.CREDENTIAL_KEY)),
    events: eventStore(env.DB),
    rollouts: rolloutStore(env.DB),
    verdicts: verdictStore(env.DB),
    reports: reportStore(env.DB),
    loadRuns: loadRunStore(env.DB),
    outbox: outboxStore(env.DB),
    deployments: deploymentStore(env.DB),
    deployers: deployers({
      credentialKey: env.CREDENTIAL_KEY,
      allowPrivate,
      poster: posts,
      clock: systemClock,
      freshId,
      coreUrl: env.CORE_URL ?? null,
    }),
    deliveries: deliveryStore(env.DB),
    poster: posts,
    openSecret: (sealed, webhook) => openWebhookSecret(env, sealed, webhook),
    rows: rowStore(env.DB),
    freshId,
    signer: () => signerOf(env.CREDENTIAL_KEY),
    memory: memory(storage),
  }
}

export const controllerPort = (env: CoreEnv): ControllerCalls => controllerCalls(env.CONTROLLER)

export const credentialsPort = (env: CoreEnv): Credentials => credentials(env.DB)
