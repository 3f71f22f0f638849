// Where a request goes: a cell drawn from the published fractions, then an endpoint of it. The cell's ledger alone knows its load exactly; it is
// asked when that is worth the way (asking.ts), and told when it was not (unasked.ts). Never picks an endpoint by comparing numbers that are old.

import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { Admitted, Asked, Routed } from '../facts.ts'
import { promptOf } from '../http/prompt.ts'
import { affinityOf } from './affinity.ts'
import { askInTurn } from './asking.ts'
import { cellsFor, rowOf, servingEndpoints, type Candidates, type Need } from './cell.ts'
import { explainCells } from './explain.ts'
import { prefixCharsMax } from './prefix.ts'
import { refusalFor, roundTripTo, type Ports, type Trip, type View } from './trip.ts'
import { onCredit, unasked } from './unasked.ts'
import { whyAsk } from './worth-asking.ts'

/** An endpoint for the request with a lease on it, or why there is none. Second attempts are denied when the budget for them is spent. */
export async function route(asked: Asked, admitted: Admitted, view: View, ports: Ports): Promise<Result<Routed, InferenceRefusal>> {
  const { snapshot, avoid, purpose } = view
  const { version, credential, wish } = admitted
  const { operation } = asked.dialect
  const model = snapshot.models.find(({ name }) => name === wish.model)
  const kin = affinityOf(model?.affinity ?? 'none', {
    tenant: credential.tenant,
    session: asked.session ?? wish.user,
    prompt: () => promptOf(operation, wish.json, prefixCharsMax),
  })
  const need = { version, operation, avoid, residency: credential.residency }
  const loads = ports.loads.fresh(wish.model)
  const row = rowOf(snapshot, ports.loads.latest(wish.model), wish.model, asked.origin)
  // Two attempts are all there are: one that follows a failure gets no copy.
  const mayHedge = (model?.hedging ?? false) && !wish.stream && purpose === 'first'
  const trip: Trip = { asked, admitted, view, need, kin, mayHedge, loads, row }

  const cells = reachableCells(trip, ports)
  if ('none' in cells) return err(refusalFor(cells.none, trip))
  const { first, others } = cells
  const told = ports.loads.cell(wish.model, first)
  const why = whyAsk({
    purpose,
    strategy: model?.strategy ?? 'least-latency',
    affinity: kin,
    mayHedge,
    onTrial: snapshot.endpoints.some((each) => each.health === 'probing' && each.cell === first && each.version === version),
    load: told?.load ?? null,
    roundTripMs: roundTripTo(trip, first),
    // What began a moment before the numbers were true had not been reported by then.
    ownBurst: told ? ports.ledgers.begunSince(first, told.atMs - limits.reportEveryMs) : 0,
  })
  view.explain?.round({
    purpose,
    cells: explainCells({
      snapshot,
      row,
      need,
      candidates: [first, ...others],
      isSticky: kin !== null,
      loadOf: (cell) => ports.loads.cell(wish.model, cell)?.load ?? null,
    }),
    asked: why,
  })

  const atOnce = onCredit(trip, first, ports) ?? (why === null ? unasked(trip, first, { way: 'blind', name: 'b' }, ports) : null)
  return atOnce ? ok(atOnce) : askInTurn(trip, [first, ...others], ports)
}

/** Cells without those that failed a request here a moment ago, as long as there are others. */
function reachableCells({ view, row, need, kin }: Trip, ports: Ports): Candidates {
  const { snapshot } = view
  const draw = (avoid: Need['avoid']): Candidates => cellsFor(snapshot, row, { ...need, avoid }, kin?.key ?? null, ports.random)
  const aside = servingEndpoints(snapshot, need).flatMap(({ id }) => (ports.reflexes.isAside(id) ? [id] : []))
  const elsewhere = aside.length > 0 ? draw([...need.avoid, ...aside]) : null
  return elsewhere && !('none' in elsewhere) ? elsewhere : draw(need.avoid)
}
