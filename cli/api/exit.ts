// How a command of the CLI ends: six codes, the same for every command and never changed, for scripts and CI branch on them.

import { Stop } from '../local/stop.ts'

export const exitCodes = {
  ok: 0,
  error: 1,
  usage: 2,
  /** A rollout that ended otherwise than asked, a gate that refused, a comparison that failed. */
  ended: 3,
  /** The wait was over before what it waited for. */
  timedOut: 4,
  /** Somebody else was there before: read again and decide anew. */
  conflict: 5,
} as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** What was typed makes no sense. */
export const usageStop = (message: string): Stop => new Stop(message, exitCodes.usage)

/** Nobody answered, or not in time: it may be different in a moment. */
export class Unreachable extends Stop {
  constructor(message: string, options?: ErrorOptions) {
    super(message, exitCodes.error, options)
    this.name = 'Unreachable'
  }
}
