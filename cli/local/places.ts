// Where the local platform keeps its things: below .isochrone, which git ignores, or below ISOCHRONE_HOME (a second platform beside the first).

import { resolve } from 'node:path'

export const root = resolve(import.meta.dirname, '../..')
export const home = resolve(root, process.env['ISOCHRONE_HOME'] ?? '.isochrone')

export const places = {
  /** URLs, key and pids, for scripts. */
  dev: resolve(home, 'dev.json'),
  /** Operator token and demo key, kept over restarts. */
  secrets: resolve(home, 'secrets.json'),
  /** Process groups that are running, so that the next start can end what a crash left. */
  processes: resolve(home, 'processes.json'),
  state: resolve(home, 'state'),
  /** A runtime that ended stays away while a file with its name is here (core, edge, ledgers): faults for tests. */
  hold: resolve(home, 'hold'),
  /** How the runtimes find each other. */
  registry: resolve(home, 'registry'),
  bundles: resolve(home, 'bundles'),
  logs: resolve(home, 'logs'),
} as const

/** What runs in a runtime process of its own; the ledger objects are in the edge's unless they were asked for apart. */
export type Role = 'edge' | 'core' | 'ledgers'

/** Each runtime process has a store of its own: workerd locks its databases. */
export const stateOf = (role: Role): string => resolve(places.state, role)
