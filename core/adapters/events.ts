// Changes of endpoints' health in D1. The control loop appends, the admin API lists; nothing changes an event, and the database
// itself refuses to. What is older than limits.eventsKeptMs goes, a bounded piece with each append.

import { and, desc, eq, lt } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import { limits } from '../../shared/limits.ts'
import type { EndpointEvent } from '../facts.ts'
import type { EventReader, EventStore } from '../ports.ts'
import { endpointEvents } from './schema.ts'

/**
 * The columns that an append writes, each from the event's field of the same name. A whole region's events go as one JSON text:
 * D1 binds at most a hundred values to a statement.
 */
const insert = `INSERT OR IGNORE INTO endpoint_events (at_ms, endpoint, cell, "from", "to", metric, value, threshold, reason)
  SELECT value ->> 'atMs', value ->> 'endpoint', value ->> 'cell', value ->> 'from', value ->> 'to',
    value ->> 'metric', value ->> 'value', value ->> 'threshold', value ->> 'reason'
  FROM json_each(?) ORDER BY key`

/** By the database's own clock, as its trigger judges: a purge that the trigger refuses would take the events along with it. */
const purge = `DELETE FROM endpoint_events WHERE seq IN
  (SELECT seq FROM endpoint_events WHERE at_ms < unixepoch() * 1000 - ${limits.eventsKeptMs} ORDER BY at_ms LIMIT ${limits.eventsPurgedMax})`

export function eventStore(d1: D1Database): EventStore & EventReader {
  const db = drizzle(d1)
  return {
    async append(events) {
      if (events.length === 0) return
      const inserts = chunksOf(events).map((chunk) => d1.prepare(insert).bind(JSON.stringify(chunk)))
      await d1.batch([...inserts, d1.prepare(purge)])
    },

    list({ endpoint, beforeSeq, limit }) {
      return db
        .select()
        .from(endpointEvents)
        .where(
          and(
            endpoint === null ? undefined : eq(endpointEvents.endpoint, endpoint),
            beforeSeq === null ? undefined : lt(endpointEvents.seq, beforeSeq),
          ),
        )
        .orderBy(desc(endpointEvents.seq))
        .limit(limit)
    },
  }
}

function chunksOf(events: readonly EndpointEvent[]): readonly (readonly EndpointEvent[])[] {
  const most = limits.eventsPerStatementMax
  return Array.from({ length: Math.ceil(events.length / most) }, (_, index) => events.slice(index * most, (index + 1) * most))
}
