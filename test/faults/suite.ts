// What must become of each fault, in any dialect: before the first token another endpoint answers, or one clear refusal does;
// after it the caller keeps what he has and gets a typed error, never a clean end. The files beside this one name the dialects and their servers.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nothing, openGateway, settling, type Gateway, type ModelRow, type Serving } from '../support/gateway.ts'
import { errorAtEnd, isTerminated, readings, saidIn, type Heard } from '../support/scripted-client.ts'
import type { DialectName } from '../support/scripted-dialects.ts'
import {
  faultsAfter,
  faultsBefore,
  oddities,
  type FaultAfter,
  type FaultBefore,
  type FaultName,
  type Oddity,
} from '../support/scripted-faults.ts'
import { speeches, textOf } from '../support/scripted-upstream.ts'

type Mode = 'stream' | 'whole'

/** A dialect, and the faults that it cannot show. */
export type Spoken = { readonly dialect: DialectName; readonly except?: readonly FaultName[] }

/** Dialects whose faults come from the same servers. `file` keeps their models apart from others'. */
export type Suite = { readonly file: string; readonly dialects: readonly Spoken[]; readonly serving?: Serving }

const streamOnly: readonly FaultName[] = [
  'error-first',
  'error-first-sglang',
  'error-first-tgi',
  'error-first-llamacpp',
  'error-first-llamacpp-field',
  'error-after-opening',
  'close-after-opening',
  'cut-after-opening',
  'oversized-event',
]
const wholeOnly: readonly FaultName[] = ['cut-json', 'half-json']

const modesOf = (fault: FaultName): readonly Mode[] => {
  if (streamOnly.includes(fault)) return ['stream']
  return wholeOnly.includes(fault) ? ['whole'] : ['stream', 'whole']
}

/** What the caller is told when there is nobody else: a bad gateway, unless another word helps him more. */
type Told = { readonly status: number; readonly codes: readonly string[]; readonly retryAfterS: readonly [number, number] }
const failed: Told = { status: 502, codes: ['upstream_failed'], retryAfterS: [1, 1] }
const busy = (least: number, most: number): Told => ({ status: 503, codes: ['upstream_busy'], retryAfterS: [least, most] })
const told: Partial<Record<FaultBefore, Told>> = {
  // Whether the request arrived before the connection broke, nobody can know.
  'cut-first': { ...failed, codes: ['upstream_unreachable', 'upstream_failed'] },
  // Nobody was reached, or he did not answer: both are true.
  redirect: { ...failed, codes: ['upstream_failed', 'upstream_unreachable'] },
  'busy-seconds': busy(7, 7),
  'busy-date': busy(20, 30),
  'busy-absurd': busy(60, 60),
  'busy-nonsense': busy(1, 1),
}

/** Anthropic's types say less than codes do. */
const anthropicTypes: Readonly<Record<number, readonly string[]>> = { 502: ['api_error'], 503: ['overloaded_error', 'api_error'] }

const before = (except: readonly FaultName[]) => (Object.keys(faultsBefore) as FaultBefore[]).filter((fault) => !except.includes(fault))
const after = (except: readonly FaultName[]) => (Object.keys(faultsAfter) as FaultAfter[]).filter((fault) => !except.includes(fault))
const odd = (except: readonly FaultName[]) => (Object.keys(oddities) as Oddity[]).filter((fault) => !except.includes(fault))

const good = 'vllm/text'
const goodText = textOf('text')

/**
 * Declares the whole suite, dialect by dialect. Each case of a retry has a model of its own: a cell allows only so many second attempts,
 * and an endpoint that has failed is asked less.
 */
export function faultSuite({ file, dialects, serving = {} }: Suite): void {
  describe.each(dialects.map((spoken) => [spoken.dialect, spoken] as const))('%s', (dialect, spoken) => {
    dialectSuite(spoken, `${file}-${dialect}`, serving)
  })
}

function dialectSuite({ dialect, except = [] }: Spoken, file: string, serving: Serving): void {
  let gateway: Gateway
  // The servers are registered once: that takes longer than to ask them all.
  beforeAll(async () => {
    gateway = await openGateway(file)
    const models: Record<string, ModelRow> = {}
    for (const fault of before(except)) {
      for (const mode of modesOf(fault)) models[`covered/${fault}/${mode}`] = { endpoints: [`fault/${fault}`, good] }
      models[`alone/${fault}`] = { endpoints: [`fault/${fault}`] }
    }
    for (const fault of [...after(except), ...odd(except)]) models[`covered/${fault}`] = { endpoints: [`fault/${fault}`, good] }
    await gateway.serve(models, serving)
  })
  afterAll(() => gateway.close())

  describe(`${dialect}, before the first token`, () => {
    const cases = before(except).flatMap((fault) => modesOf(fault).map((mode) => [fault, mode] as const))

    it.each(cases)('%s, %s: another endpoint answers', async (fault, mode) => {
      const asked = gateway.upstream.tally(`fault/${fault}`).asked
      const heard = await gateway.askAndHear(dialect, `covered/${fault}/${mode}`, mode === 'stream')
      expect(heard.raw, 'what the caller got').not.toContain('the engine core has died')
      expect({ status: heard.status, cut: heard.cut }).toEqual({ status: 200, cut: false })
      expect(gateway.upstream.tally(`fault/${fault}`).asked, 'the faulty endpoint was asked once').toBe(asked + 1)
      expect(heard.headers.get('isochrone-endpoint')).toBe(gateway.endpointOf(`covered/${fault}/${mode}`, 2))
      expectWhole(dialect, heard, mode)
    })

    it.each(cases)('%s, %s, and nobody else: one clear refusal', async (fault, mode) => {
      const heard = await gateway.askAndHear(dialect, `alone/${fault}`, mode === 'stream')
      const { status, codes, retryAfterS } = told[fault] ?? failed
      expect(heard.status).toBe(status)
      expect(heard.headers.get('content-type')).toContain('application/json')
      const refusal = readings[dialect].refusal(heard.json)
      expect(refusal, `the dialect's shape: ${heard.raw.slice(0, 300)}`).not.toBeNull()
      if (dialect === 'messages') expect(anthropicTypes[status]).toContain(refusal?.code)
      else if (dialect !== 'generate') expect(codes).toContain(refusal?.code)
      const retryAfter = Number(heard.headers.get('retry-after'))
      expect(retryAfter).toBeGreaterThanOrEqual(retryAfterS[0])
      expect(retryAfter).toBeLessThanOrEqual(retryAfterS[1])
      expect(heard.headers.get('x-request-id')).toMatch(/^req_/)
      expect(heard.raw, 'no address of an engine').not.toContain('127.0.0.1')
    })
  })

  describe(`${dialect}, after the first token`, () => {
    it.each(after(except))('%s: what was said stays said, then a typed error, never a clean end', async (fault) => {
      const heard = await gateway.askAndHear(dialect, `covered/${fault}`, true)
      expect({ status: heard.status, cut: heard.cut }).toEqual({ status: 200, cut: false })
      expect(heard.headers.get('isochrone-endpoint')).toBe(gateway.endpointOf(`covered/${fault}`, 1))
      const pieces = fault === 'no-terminal' ? speeches.text.text : speeches.text.text.slice(0, 2)
      expect(saidIn(dialect, heard)).toBe(pieces.join(''))
      expect(errorAtEnd(dialect, heard), `the last event is an error: ${heard.raw.slice(-300)}`).not.toBeNull()
      expect(isTerminated(dialect, heard), 'no terminal event').toBe(false)
      if (dialect === 'chat' || dialect === 'completions') expect(errorAtEnd(dialect, heard)?.code).toBe('upstream_failed')
      expect(heard.raw, 'whole events only').toMatch(/\n\n$/)
    })
  })

  describe(`${dialect}, strange but right`, () => {
    it.each(odd(except))('%s: the answer arrives whole', async (fault) => {
      const heard = await gateway.askAndHear(dialect, `covered/${fault}`, true)
      expect(heard.status).toBe(200)
      expect(heard.headers.get('isochrone-endpoint')).toBe(gateway.endpointOf(`covered/${fault}`, 1))
      expectWhole(dialect, heard, 'stream')
    })
  })

  it(`${dialect}: afterwards nothing is in flight, at the engines or in the ledgers`, () =>
    expect.poll(gateway.inFlight, settling).toEqual(nothing))
}

function expectWhole(dialect: DialectName, heard: Heard, mode: Mode): void {
  expect(saidIn(dialect, heard)).toBe(goodText)
  if (mode === 'whole') return
  expect(errorAtEnd(dialect, heard)).toBeNull()
  if (readings[dialect].isTerminal) expect(isTerminated(dialect, heard)).toBe(true)
}
