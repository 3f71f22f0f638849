// The catalogue in D1, as the control loop reads it: all lists in one batch, so that they show one instant.

import { asc, desc, and, eq, gt, inArray, max } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import { limits } from '../../shared/limits.ts'
import type { CatalogueReader } from '../ports.ts'
import { aliases, auditLog, endpoints, models, regions, versions } from './schema.ts'

export function catalogueReader(d1: D1Database): CatalogueReader {
  const db = drizzle(d1)
  const seq = () => db.select({ seq: max(auditLog.seq) }).from(auditLog)
  return {
    async seq() {
      return (await seq())[0]?.seq ?? 0
    },

    async load(writtenAfterSeq) {
      const [seqs, regionRows, endpointRows, aliasRows, modelRows, writes] = await db.batch([
        seq(),
        db
          .select({
            name: regions.name,
            latitude: regions.latitude,
            longitude: regions.longitude,
            jurisdiction: regions.jurisdiction,
            locationHint: regions.locationHint,
          })
          .from(regions)
          .orderBy(asc(regions.name)),
        db
          .select({
            id: endpoints.id,
            region: endpoints.region,
            model: versions.model,
            version: endpoints.version,
            kind: endpoints.kind,
            url: endpoints.url,
            servedName: endpoints.servedName,
            slots: endpoints.slots,
            weight: endpoints.weight,
            state: endpoints.state,
            operations: endpoints.operations,
            options: endpoints.options,
            maintenance: endpoints.maintenance,
            credential: endpoints.credential,
          })
          .from(endpoints)
          .innerJoin(versions, eq(versions.id, endpoints.version))
          .orderBy(asc(endpoints.id)),
        db
          .select({
            environment: aliases.environment,
            model: aliases.model,
            stable: aliases.stable,
            canary: aliases.canary,
            weightBp: aliases.weightBp,
            salt: aliases.salt,
            createdAtMs: aliases.createdAtMs,
            shadowBp: aliases.shadowBp,
            rollout: aliases.rollout,
            rolloutGeneration: aliases.rolloutGeneration,
          })
          .from(aliases)
          .orderBy(asc(aliases.environment), asc(aliases.model)),
        db
          .select({
            name: models.name,
            firstTokenMsMax: models.firstTokenMsMax,
            holdMsMax: models.holdMsMax,
            strategy: models.strategy,
            affinity: models.affinity,
            hedging: models.hedging,
          })
          .from(models)
          .orderBy(asc(models.name)),
        // The newest first, for of too many the oldest are given up.
        db
          .select({ id: auditLog.resourceId })
          .from(auditLog)
          .where(and(inArray(auditLog.resource, ['key', 'tenant']), gt(auditLog.seq, writtenAfterSeq)))
          .orderBy(desc(auditLog.seq))
          .limit(limits.changedMax),
      ])
      return {
        seq: seqs[0]?.seq ?? 0,
        regions: regionRows,
        endpoints: endpointRows,
        aliases: aliasRows.map(({ rollout, rolloutGeneration, ...alias }) => ({
          ...alias,
          write: rollout !== null && rolloutGeneration !== null ? { id: rollout, generation: rolloutGeneration } : null,
        })),
        models: modelRows,
        written: [...new Set(writes.map((write) => write.id).toReversed())],
      }
    },
  }
}
