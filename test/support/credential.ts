// One API key and its record, for tests.

import { sha256Hex } from '../../shared/hash.ts'
import { writeApiKey, type ApiKey, type KeyId, type TenantId } from '../../shared/ids.ts'
import { credentialFormat, type Credential } from '../../shared/wire/credential.ts'

export const key: ApiKey = { environment: 'development', id: '0123456789abcdef' as KeyId, secret: '0123456789abcdef0123456789abcdef' }

export const keyText = writeApiKey(key)

export const credential = async (so: Partial<Credential> = {}): Promise<Credential> => ({
  format: credentialFormat,
  id: key.id,
  tenant: 'demo' as TenantId,
  environment: 'development',
  secretSha256: await sha256Hex(key.secret),
  models: null,
  expiresAtMs: null,
  disabled: false,
  scopes: [],
  residency: null,
  ...so,
})
