// Which report is meant: by its id, by the beginning of its id, or the newest of a version over the same set.

import * as v from 'valibot'
import type { CoreClient } from '../api/core-client.ts'
import { read, reportRowSchema, type ReportRow } from '../api/shapes.ts'
import { Stop } from '../local/stop.ts'

/** A beginning of fewer characters is too often that of several reports, or the name of a version. */
const prefixCharsMin = 8
const rowsMax = 1_000

/** `setDigest` null: of a version the newest report of all. Throws Stop when there is no such report, or more than one. */
export async function findReport(core: CoreClient, name: string, setDigest: string | null): Promise<ReportRow> {
  if (/^[0-9a-f]{64}$/.test(name)) return read(reportRowSchema, (await core.get(['reports', name])).body, 'report')
  const ofVersion = await rowsOf(core, { version: name })
  const known = ofVersion.find((row) => setDigest === null || row.setDigest === setDigest)
  if (known) return known
  if (!/^[0-9a-f]+$/.test(name) || name.length < prefixCharsMin) {
    const why = ofVersion.length > 0 ? ' over this set' : ', by its id or as a version'
    throw new Stop(`there is no report "${name}"${why}.`)
  }
  const [first, ...others] = (await rowsOf(core, {})).filter(({ id }) => id.startsWith(name))
  if (!first) throw new Stop(`there is no report that begins with "${name}".`)
  if (others.length > 0) throw new Stop(`${others.length + 1} reports begin with "${name}": give more of the id.`)
  return first
}

const rowsOf = async (core: CoreClient, query: { readonly version?: string }): Promise<readonly ReportRow[]> =>
  read(v.array(reportRowSchema), await core.list(['reports'], query, rowsMax), 'list of reports')
