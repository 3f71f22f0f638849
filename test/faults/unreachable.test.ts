// Servers that cannot be spoken to at all, and callers who leave.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nothing, openGateway, settling, type Gateway } from '../support/gateway.ts'
import { until } from '../support/platform.ts'
import { saidIn } from '../support/scripted-client.ts'
import { scriptedUpstream, textOf } from '../support/scripted-upstream.ts'

const good = 'vllm/text'
/** Ten minutes: whatever ends such a request sooner is the caller's leaving. */
const patient = { firstTokenMsMax: 600_000, holdMsMax: 600_000 }

let gateway: Gateway
beforeAll(async () => {
  gateway = await openGateway('unreachable')
  await gateway.serve({
    'patient/silent': { endpoints: ['fault/silent'], fields: patient },
    'patient/stall-first': { endpoints: ['fault/stall-first'], fields: patient },
    'held/stall-after-opening': { endpoints: ['fault/stall-after-opening'], fields: { ...patient, holdMsMax: 1_500 } },
    long: { endpoints: ['vllm/long'] },
  })
})
afterAll(() => gateway.close())

describe('a port nobody listens on', () => {
  it('another endpoint answers, and without one it is a 502', async () => {
    const gone = await scriptedUpstream()
    await gateway.serve({
      refused: { endpoints: [{ script: good, url: gone.url }, good] },
      'alone/refused': { endpoints: [{ script: good, url: gone.url }] },
    })
    // Its last probe found it well: only the request itself can find out.
    await gone.close()
    const covered = await gateway.askAndHear('chat', 'refused', true)
    expect(covered.status).toBe(200)
    expect(covered.headers.get('isochrone-endpoint')).toBe(gateway.endpointOf('refused', 2))
    expect(saidIn('chat', covered)).toBe(textOf('text'))
    const alone = await gateway.askAndHear('chat', 'alone/refused', false)
    expect({ status: alone.status, body: alone.json }).toMatchObject({ status: 502, body: { error: { code: 'upstream_unreachable' } } })
    expect(alone.raw).not.toContain(String(gone.port))
  })
})

describe('a port that does not speak TLS, at an https address', () => {
  it('another region answers, and without one it is a refusal that says when to come back', async () => {
    const url = gateway.upstream.url.replace('http:', 'https:')
    // Never healthy; until three probes have failed it may be asked, as the nearest.
    await gateway.serve(
      {
        tls: {
          endpoints: [
            { script: good, url },
            { script: good, region: 'eu-west' },
          ],
        },
        'alone/tls': { endpoints: [{ script: good, url }] },
      },
      { healthy: false },
    )
    const covered = await gateway.askAndHear('chat', 'tls', true)
    expect(covered.status).toBe(200)
    expect(covered.headers.get('isochrone-region')).toBe('eu-west')
    expect(saidIn('chat', covered)).toBe(textOf('text'))
    const alone = await gateway.askAndHear('chat', 'alone/tls', false)
    expect([502, 503]).toContain(alone.status)
    const { code } = (alone.json as { error: { code: string } }).error
    expect(['upstream_unreachable', 'no_healthy_endpoint']).toContain(code)
    expect(Number(alone.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
  })
})

describe('a caller who leaves', () => {
  it.each([
    ['patient/silent', 'stream'],
    ['patient/silent', 'whole'],
    ['patient/stall-first', 'stream'],
    ['patient/stall-first', 'whole'],
  ])('%s, %s: whose connection is gone before the first byte, the engine is told', async (model, mode) => {
    const script = `fault/${model.split('/')[1]}`
    const { asked, abandoned } = gateway.upstream.tally(script)
    const vanish = gateway.askThenVanish('chat', model, mode === 'stream')
    await until(() => Promise.resolve(gateway.upstream.tally(script).asked > asked))
    vanish()
    await expect.poll(() => gateway.upstream.tally(script).abandoned, { timeout: 30_000 }).toBe(abandoned + 1)
  })

  it('who closes his connection in good order is found out when the hold ends, for then something is written to him', async () => {
    const { asked, abandoned } = gateway.upstream.tally('fault/stall-after-opening')
    const leaving = new AbortController()
    const asking = gateway.ask('chat', 'held/stall-after-opening', true, { signal: leaving.signal })
    await until(() => Promise.resolve(gateway.upstream.tally('fault/stall-after-opening').asked > asked))
    leaving.abort()
    await expect(asking).rejects.toThrow()
    await until(() => Promise.resolve(gateway.upstream.tally('fault/stall-after-opening').abandoned > abandoned))
  })

  it('in the middle of a stream the engine stops', async () => {
    const leaving = new AbortController()
    const response = await gateway.ask('chat', 'long', true, { signal: leaving.signal })
    const reader = response.body?.getReader()
    await reader?.read()
    leaving.abort()
    await until(() => Promise.resolve(gateway.upstream.tally('vllm/long').abandoned === 1))
    expect(gateway.upstream.tally('vllm/long').finished).toBe(0)
  })
})

it('afterwards nothing is in flight', () => expect.poll(gateway.inFlight, settling).toEqual(nothing))
