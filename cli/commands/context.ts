// What every command is given, and the one way in which it prints: a table for people, or one JSON document for programs.

import { edgeAddress, type ConnectionOptions, type EdgeAddress } from '../api/connection.ts'
import type { CoreClient } from '../api/core-client.ts'
import type { World } from '../api/world.ts'

export type Context = {
  readonly world: World
  readonly core: CoreClient
  /** Where the public API is; read only by the commands that ask it. */
  readonly edge: () => EdgeAddress
  readonly isJson: boolean
}

/** The result of a command: `document` with --json, else `text`. Called once by each command. */
export function show({ world, isJson }: Pick<Context, 'world' | 'isJson'>, document: unknown, text: string): void {
  world.out.write(`${isJson ? JSON.stringify(document, null, 2) : text}\n`)
}

/** A line of progress for people; nothing with --json, for then stderr holds errors alone. */
export function note({ world, isJson }: Pick<Context, 'world' | 'isJson'>, text: string): void {
  if (!isJson) world.err.write(`${text}\n`)
}

/** Options that all commands have. */
export type CommonOptions = ConnectionOptions & { readonly json?: boolean }

export const edgeOf = (options: ConnectionOptions, world: World) => (): EdgeAddress => edgeAddress(options, world)
