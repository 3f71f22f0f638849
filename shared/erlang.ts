// How long requests wait for a place, from load alone: the M/M/c queue (Erlang 1917; Cooper, Introduction to Queueing Theory, chapter 3).
// Load is offered load in Erlang: arrivals x service time, the mean number of places in use. Services of one exponential's spread.

import { limits } from './limits.ts'

/** Probability that a request has to wait for one of `servers` places; 1 when they cannot keep up. Parts of a place are none. */
export function erlangC(servers: number, offered: number): number {
  if (!(offered > 0)) return 0
  const places = Math.floor(servers)
  if (!(offered < places)) return 1
  // Erlang B by its recurrence: factorials would overflow, this stays between 0 and 1.
  let blocked = 1
  for (let n = 1; n <= places; n++) blocked = (offered * blocked) / (n + offered * blocked)
  return (places * blocked) / (places - offered * (1 - blocked))
}

/** Mean wait in milliseconds of all requests, those included that do not wait. Bounded: at or above `waitLoadMax` of the places it is that of this load. */
export function waitMs(servers: number, offered: number, serviceMs: number): number {
  const places = Math.max(1, Math.floor(servers))
  const load = Math.min(offered, limits.waitLoadMax * places)
  if (!(load > 0)) return 0
  return (erlangC(places, load) * serviceMs) / (places - load)
}

export type Station = { readonly slots: number; readonly serviceMs: number; readonly share: number }

/**
 * Mean wait in milliseconds when each request is drawn to an endpoint by `share` without looking: each endpoint is a queue of its own with
 * that part of the `offered` load. Shares are taken relative to their sum; without any there is nothing to wait for.
 */
export function blindWaitMs(endpoints: readonly Station[], offered: number): number {
  const drawn = endpoints.filter(({ share }) => share > 0)
  const all = drawn.reduce((sum, { share }) => sum + share, 0)
  return drawn.reduce((sum, { slots, serviceMs, share }) => {
    const part = share / all
    return sum + part * waitMs(slots, offered * part, serviceMs)
  }, 0)
}
