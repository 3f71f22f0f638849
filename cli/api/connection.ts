// Which platform a command speaks to, and as whom: by option, by environment, or the local platform that runs at this place.

import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import * as v from 'valibot'
import { readJson } from '../local/files.ts'
import { Stop } from '../local/stop.ts'
import { usageStop } from './exit.ts'
import type { CoreAddress } from './core-client.ts'
import type { World } from './world.ts'

/** What every command may be told; each also as a variable of the environment. */
export type ConnectionOptions = {
  readonly coreUrl?: string
  readonly token?: string
  readonly actor?: string
  readonly edgeUrl?: string
  readonly apiKey?: string
}

type Place = Pick<World, 'env' | 'workingFolder'>

const devSchema = v.looseObject({ edgeUrl: v.string(), coreUrl: v.string(), apiKey: v.string(), operatorToken: v.string() })
type Dev = v.InferOutput<typeof devSchema>

/** Where core is and what opens it. Throws Stop when that is not known, or is no address. */
export function coreAddress(options: ConnectionOptions, place: Place): CoreAddress {
  const said = { url: options.coreUrl ?? place.env['ISOCHRONE_CORE_URL'], token: options.token ?? place.env['ISOCHRONE_OPERATOR_TOKEN'] }
  const dev = said.url !== undefined && said.token !== undefined ? null : localPlatform(place)
  const url = said.url ?? dev?.coreUrl
  // The local platform's token is for the local platform alone: it must not be sent to another address.
  const token = said.token ?? (dev && url === dev.coreUrl ? dev.operatorToken : undefined)
  if (url === undefined) throw new Stop('no platform: give --core-url and --token, or start one here (npm start).')
  if (token === undefined) throw new Stop(`no token for ${url}: give --token, or set ISOCHRONE_OPERATOR_TOKEN.`)
  return { url: baseOf('--core-url', url), token, actor: actorOf(options, place) }
}

export type EdgeAddress = { readonly url: string; readonly apiKey: string }

/** Where the public API is and with which key. Throws Stop when that is not known, or is no address. */
export function edgeAddress(options: ConnectionOptions, place: Place): EdgeAddress {
  const said = { url: options.edgeUrl ?? place.env['ISOCHRONE_EDGE_URL'], apiKey: options.apiKey ?? place.env['ISOCHRONE_API_KEY'] }
  const dev = said.url !== undefined && said.apiKey !== undefined ? null : localPlatform(place)
  const url = said.url ?? dev?.edgeUrl
  const apiKey = said.apiKey ?? (dev && url === dev.edgeUrl ? dev.apiKey : undefined)
  if (url === undefined) throw new Stop('no edge: give --edge-url and --api-key, or start a platform here (npm start).')
  if (apiKey === undefined) throw new Stop(`no API key for ${url}: give --api-key, or set ISOCHRONE_API_KEY.`)
  return { url: baseOf('--edge-url', url), apiKey }
}

function actorOf({ actor }: ConnectionOptions, { env }: Place): string | null {
  const name = actor ?? env['ISOCHRONE_ACTOR']
  if (name === undefined || name === '') return null
  if (/^[A-Za-z0-9][A-Za-z0-9@._+-]{0,63}$/.test(name)) return name
  throw usageStop(`--actor "${name}" must be 1 to 64 letters, digits, "@", ".", "_", "+" and "-", beginning with a letter or digit.`)
}

function baseOf(option: string, text: string): string {
  const url = URL.parse(text)
  if (url && (url.protocol === 'http:' || url.protocol === 'https:')) return text.replace(/\/+$/, '')
  throw usageStop(`${option} "${text}" must be an http or https address.`)
}

/** The dev.json of the platform that runs in this folder or one above it; in ISOCHRONE_HOME where that is set. null: none runs. */
function localPlatform({ env, workingFolder }: Place): Dev | null {
  const home = env['ISOCHRONE_HOME']
  const path = home ? resolve(workingFolder, home, 'dev.json') : devAbove(workingFolder)
  const parsed = v.safeParse(devSchema, path === null ? null : readJson(path))
  return parsed.success ? parsed.output : null
}

function devAbove(folder: string): string | null {
  const path = join(folder, '.isochrone', 'dev.json')
  if (existsSync(path)) return path
  const above = dirname(folder)
  return above === folder ? null : devAbove(above)
}
