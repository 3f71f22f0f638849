// Stands for core's entrypoint: knows the one key of test/support/credential.ts, and fails for the key named in `awayFor`.

import { WorkerEntrypoint } from 'cloudflare:workers'

const record = {
  format: 1,
  id: '0123456789abcdef',
  tenant: 'demo',
  environment: 'development',
  // SHA-256 of 0123456789abcdef0123456789abcdef.
  secretSha256: '3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9',
  models: null,
  expiresAtMs: null,
  disabled: false,
}

const awayFor = 'awayawayawayaway'

export class CoreEntrypoint extends WorkerEntrypoint {
  credential(id) {
    if (id === awayFor) throw new Error('core is away')
    return id === record.id ? record : null
  }
}

export default { fetch: () => new Response('core') }
