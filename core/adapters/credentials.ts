// API keys in D1, as the edge checks them: key and tenant in one record. The only reader of the secret's hash.

import { and, asc, eq, gt, inArray } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import { credentialFormat, type Credential } from '../../shared/wire/credential.ts'
import type { CredentialWrite } from '../facts.ts'
import type { Credentials } from '../ports.ts'
import { apiKeys, auditLog, tenants } from './schema.ts'

const columns = {
  id: apiKeys.id,
  tenant: apiKeys.tenant,
  environment: apiKeys.environment,
  secretSha256: apiKeys.secretSha256,
  models: apiKeys.models,
  expiresAtMs: apiKeys.expiresAtMs,
  keyDisabled: apiKeys.disabled,
  tenantDisabled: tenants.disabled,
  scopes: apiKeys.scopes,
  residency: tenants.residency,
}

export function credentials(d1: D1Database): Credentials {
  const db = drizzle(d1)
  const joined = () => db.select(columns).from(apiKeys).innerJoin(tenants, eq(tenants.id, apiKeys.tenant))
  type Joined = Awaited<ReturnType<typeof joined>>[number]

  const credentialOf = ({ keyDisabled, tenantDisabled, models, scopes, ...row }: Joined): Credential => ({
    format: credentialFormat,
    ...row,
    models: models && [...models],
    scopes: [...scopes],
    disabled: keyDisabled || tenantDisabled,
  })

  return {
    async ofKey(id) {
      const row = (await joined().where(eq(apiKeys.id, id)).limit(1))[0]
      return row ? credentialOf(row) : null
    },

    async ofTenant(tenant, after, limit) {
      const rows = await joined()
        .where(and(eq(apiKeys.tenant, tenant), after === null ? undefined : gt(apiKeys.id, after as Credential['id'])))
        .orderBy(asc(apiKeys.id))
        .limit(limit)
      return rows.map(credentialOf)
    },

    async writesAfter(seq, limit) {
      const rows = await db
        .select({ seq: auditLog.seq, resource: auditLog.resource, id: auditLog.resourceId })
        .from(auditLog)
        .where(and(inArray(auditLog.resource, ['key', 'tenant']), gt(auditLog.seq, seq)))
        .orderBy(asc(auditLog.seq))
        .limit(limit)
      return rows as readonly CredentialWrite[]
    },
  }
}
