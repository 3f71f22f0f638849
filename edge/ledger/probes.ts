// The probes that core has ordered of this cell's endpoints: which wait, which are under way, and the results that core has not fetched.
// Each ends within its timeout whatever the server does, and a server that does not answer never holds up the probes of the others.

import { limits } from '../../shared/limits.ts'
import type { EndpointId } from '../../shared/ids.ts'
import { orElse, within } from '../../shared/time.ts'
import type { Endpoint } from '../../shared/wire/snapshot.ts'
import type { ProbeOrder, ProbeResult } from '../../shared/wire/probe.ts'
import type { LedgerPorts, Probed } from './ports.ts'

type Waiting = { readonly order: ProbeOrder; readonly endpoint: Endpoint; readonly sinceMs: number }

/** What a probe is likely to cost: a server that did not answer in time will hardly do so now, and a token takes its while. */
type Pace = 'quick' | 'slow' | 'generation'

const failed: Probed = { ok: false, detail: 'the probe itself failed' }

export class Probes {
  readonly #ports: Pick<LedgerPorts, 'clock' | 'timer' | 'prober'>
  #waiting: Waiting[] = []
  readonly #underway = new Map<string, Pace>()
  readonly #results = new Map<string, ProbeResult>()
  /** By subject (below), of the cell's endpoints only: what a prober noted, and whose last probe of a kind took long. */
  readonly #notes = new Map<string, unknown>()
  readonly #slow = new Set<string>()

  constructor(ports: Pick<LedgerPorts, 'clock' | 'timer' | 'prober'>) {
    this.#ports = ports
  }

  /**
   * Takes up the orders that are not known yet, and hands over the results there are; an order that is told again after its result was
   * handed over is made again. `endpoints` are those of the cell.
   */
  exchange(orders: readonly ProbeOrder[], endpoints: readonly Endpoint[]): readonly ProbeResult[] {
    const nowMs = this.#ports.clock.nowMs()
    const byId = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]))
    this.#forget(endpoints)
    this.#dropStale(nowMs)
    const known = new Set([...this.#underway.keys(), ...this.#results.keys(), ...this.#waiting.map(({ order }) => order.id)])
    for (const order of orders) {
      if (!known.has(order.id)) this.#take(order, byId, nowMs)
      known.add(order.id)
    }
    this.#start()
    const results = [...this.#results.values()]
    this.#results.clear()
    return results
  }

  #take(order: ProbeOrder, endpoints: ReadonlyMap<EndpointId, Endpoint>, nowMs: number): void {
    const endpoint = endpoints.get(order.endpoint)
    if (!endpoint) this.#leave(order, nowMs, 'the ledger has no such endpoint')
    else if (this.#waiting.length >= limits.probesQueuedMax) this.#leave(order, nowMs, 'too many probes wait')
    else this.#waiting.push({ order, endpoint, sinceMs: nowMs })
  }

  #leave({ id, endpoint, kind }: ProbeOrder, nowMs: number, why: string): void {
    this.#results.set(id, { id, endpoint, kind, atMs: nowMs, tookMs: 0, ok: false, notDone: true, detail: `not made: ${why}` })
  }

  #dropStale(nowMs: number): void {
    const isStale = ({ sinceMs }: Waiting): boolean => nowMs - sinceMs > limits.probeWaitMsMax
    for (const waiting of this.#waiting.filter(isStale)) this.#leave(waiting.order, nowMs, 'no place came free in time')
    this.#waiting = this.#waiting.filter((waiting) => !isStale(waiting))
  }

  #forget(endpoints: readonly Endpoint[]): void {
    const present = new Set(endpoints.map(serverOf))
    const isGone = (subject: string): boolean => !present.has(subject.slice(subject.indexOf(' ') + 1))
    for (const subject of this.#notes.keys()) if (isGone(subject)) this.#notes.delete(subject)
    for (const subject of this.#slow) if (isGone(subject)) this.#slow.delete(subject)
  }

  /** Starts what there are places for, the longest waiting first. Each that ends calls again. */
  #start(): void {
    this.#dropStale(this.#ports.clock.nowMs())
    while (this.#underway.size < limits.probesAtOnceMax) {
      const index = this.#waiting.findIndex((waiting) => this.#hasPlace(this.#paceOf(waiting)))
      const [next] = index < 0 ? [] : this.#waiting.splice(index, 1)
      if (!next) return
      void this.#run(next, this.#paceOf(next))
    }
  }

  #paceOf({ order, endpoint }: Waiting): Pace {
    if (order.kind === 'generation') return 'generation'
    return this.#slow.has(subjectOf(order, endpoint)) ? 'slow' : 'quick'
  }

  #hasPlace(pace: Pace): boolean {
    const slow = [...this.#underway.values()].filter((other) => other !== 'quick')
    if (pace === 'quick') return true
    if (slow.length >= limits.slowProbesAtOnceMax) return false
    return pace === 'slow' || slow.filter((other) => other === 'generation').length < limits.generationsAtOnceMax
  }

  async #run({ order, endpoint }: Waiting, pace: Pace): Promise<void> {
    const { clock, timer, prober } = this.#ports
    const subject = subjectOf(order, endpoint)
    const atMs = clock.nowMs()
    const timeoutMs = Math.min(order.timeoutMs, limits.generationTimeoutMs)
    const silence: Probed = { ok: false, timedOut: true, detail: `no whole answer in ${timeoutMs} ms` }
    const patience = new AbortController()
    this.#underway.set(order.id, pace)
    const probing = orElse(prober.probe(order, endpoint, this.#notes.get(subject), patience.signal), failed)
    const found = await within(probing, timeoutMs, silence, timer)
    patience.abort()
    this.#underway.delete(order.id)
    const { notes, ...told } = found
    if (notes !== undefined) this.#notes.set(subject, notes)
    const tookMs = clock.nowMs() - atMs
    if (tookMs >= limits.slowProbeMs) this.#slow.add(subject)
    else this.#slow.delete(subject)
    this.#results.set(order.id, { ...told, id: order.id, endpoint: order.endpoint, kind: order.kind, atMs, tookMs })
    this.#start()
  }
}

/** What notes are about: with another address an endpoint is another server. */
const serverOf = ({ id, url }: Endpoint): string => `${id} ${url}`
const subjectOf = ({ kind }: ProbeOrder, endpoint: Endpoint): string => `${kind} ${serverOf(endpoint)}`
