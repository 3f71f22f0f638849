// Stands for the edge's ledgers: keeps the newest snapshot it is given, carries out probes on servers that exist by name alone,
// reports what a test told it to, and remembers each exchange.

import { DurableObject } from 'cloudflare:workers'

/** Servers by host: `live…` is healthy, `dead…` is not, `hang…` never answers in time; `switch…` does as the test last said. */
const answers = {
  live: { ok: true, detail: 'HTTP 200' },
  dead: { ok: false, detail: 'HTTP 503' },
  hang: { ok: false, detail: 'no answer in time', timedOut: true },
}

export class Ledger extends DurableObject {
  exchanges = []
  hanging = []
  snapshot = null
  results = new Map()
  behaviour = { generation: null, endpoints: {}, mood: 'live', hang: false, fail: false, old: false }

  async exchange({ snapshot: whole, delta, signature, cell, probes, loads }) {
    const snapshot = whole ?? this.changed(delta)
    this.exchanges.push({ generation: snapshot?.generation ?? null, cell, signature: signature ?? null, loads: loads?.seq ?? null })
    if (this.behaviour.hang) await new Promise((release) => this.hanging.push(release))
    if (this.behaviour.fail) throw new Error('ledger: out of order')
    if (snapshot && snapshot.generation > (this.snapshot?.generation ?? 0)) this.snapshot = snapshot
    const told = [...this.results.values()]
    for (const order of probes ?? []) if (!this.results.has(order.id)) this.results.set(order.id, this.probe(order))
    for (const { id } of told) this.results.delete(id)
    const generation = Math.max(this.snapshot?.generation ?? 0, this.behaviour.generation ?? 0)
    // As a release before blocks and probes answers.
    if (this.behaviour.old) return { generation, inFlight: {}, outcomes: {} }
    const answer = { generation, life: 'one', endpoints: this.behaviour.endpoints, blocks: [], queued: 0, load: null }
    return { ...answer, probes: told }
  }

  /** The snapshot at hand with a difference applied, in whatever order; null when it is of another one. */
  changed(delta) {
    if (!delta || delta.from !== this.snapshot?.generation) return null
    const { head, regions, aliases, models, endpoints, gone, fractions, fractionsGone } = delta
    const before = this.snapshot
    const touched = new Set([...gone, ...endpoints.map(({ id }) => id)])
    const rows = Object.entries({ ...before.fractions, ...fractions }).filter(([model]) => !fractionsGone.includes(model))
    return {
      ...head,
      regions: regions ?? before.regions,
      aliases: aliases ?? before.aliases,
      models: models ?? before.models,
      endpoints: [...before.endpoints.filter(({ id }) => !touched.has(id)), ...endpoints],
      fractions: Object.fromEntries(rows),
    }
  }

  probe({ id, endpoint, kind }) {
    const url = this.snapshot?.endpoints.find((each) => each.id === endpoint)?.url ?? 'http://dead.test'
    const { hostname } = new URL(url)
    const name = hostname.startsWith('switch') ? this.behaviour.mood : /^[a-z]+/.exec(hostname)[0]
    return { id, endpoint, kind, atMs: Date.now(), tookMs: 1, ...(answers[name] ?? answers.dead) }
  }

  behave(behaviour) {
    this.behaviour = { ...this.behaviour, ...behaviour }
    // An object that is waited for cannot be evicted: what hung comes back when the hanging ends.
    if (!this.behaviour.hang) for (const release of this.hanging.splice(0)) release()
  }

  /** For tests: what came in, and what is kept. */
  recorded() {
    return { exchanges: this.exchanges, snapshot: this.snapshot }
  }
}

export default { fetch: () => new Response('edge') }
