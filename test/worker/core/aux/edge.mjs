// Stands for the edge's ledgers: keeps the newest snapshot it is given, reports what a test told it to, and remembers each exchange.

import { DurableObject } from 'cloudflare:workers'

export class Ledger extends DurableObject {
  exchanges = []
  hanging = []
  snapshot = null
  behaviour = { generation: null, inFlight: {}, outcomes: {}, hang: false, fail: false }

  async exchange({ snapshot, cell }) {
    this.exchanges.push({ generation: snapshot?.generation ?? null, cell })
    if (this.behaviour.hang) await new Promise((release) => this.hanging.push(release))
    if (this.behaviour.fail) throw new Error('ledger: out of order')
    if (snapshot && snapshot.generation > (this.snapshot?.generation ?? 0)) this.snapshot = snapshot
    const { inFlight, outcomes } = this.behaviour
    const generation = Math.max(this.snapshot?.generation ?? 0, this.behaviour.generation ?? 0)
    return { generation, inFlight, outcomes }
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
