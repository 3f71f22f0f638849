// What a stream waits for and until when. Pure: the shell sleeps until the earliest and asks again.

export type Patience = {
  /** Committed without a token after this time. */
  readonly holdMs: number
  /** The first real token has to be there by then. */
  readonly firstTokenMs: number
  readonly keepAliveMs: number
}

export type Moments = {
  readonly sentAtMs: number
  readonly committed: boolean
  readonly sawToken: boolean
  /** The last whole event of the engine. */
  readonly lastEventAtMs: number
  /** The last byte to the client. */
  readonly lastOutAtMs: number
  /** Waiting for the client to read: then the engine's silence is ours. */
  readonly blocked: boolean
  readonly stallMs: number
}

export type Alarm = { readonly kind: 'hold' | 'first_token' | 'stall' | 'keep_alive'; readonly atMs: number }

/** The alarm that is due first; null when there is nothing to wait for (the client is slow: only the deadline counts). */
export function nextAlarm(at: Moments, patience: Patience): Alarm | null {
  const alarms: Alarm[] = []
  if (!at.committed) alarms.push({ kind: 'hold', atMs: at.sentAtMs + patience.holdMs })
  if (!at.sawToken) alarms.push({ kind: 'first_token', atMs: at.sentAtMs + patience.firstTokenMs })
  if (at.sawToken && !at.blocked) alarms.push({ kind: 'stall', atMs: at.lastEventAtMs + at.stallMs })
  if (at.committed && !at.blocked) alarms.push({ kind: 'keep_alive', atMs: at.lastOutAtMs + patience.keepAliveMs })
  return alarms.reduce<Alarm | null>((first, each) => (first === null || each.atMs < first.atMs ? each : first), null)
}
