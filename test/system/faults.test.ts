// What the platform does when parts of it fail: streams left by their clients, an engine killed, core gone and back.

import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { admin, engineState, forgetHome, isAlive, startPlatform, until, type Platform } from '../support/platform.ts'

let platform: Platform
let openai: OpenAI
beforeAll(async () => {
  platform = await startPlatform()
  openai = new OpenAI({ baseURL: `${platform.dev.edgeUrl}/v1`, apiKey: platform.dev.apiKey, maxRetries: 0 })
})
afterAll(async () => {
  await platform.stop()
  forgetHome(platform.home)
})

const model = 'atlas'
const ask = (content = 'What is the capital of Kenya?') =>
  openai.chat.completions.create({ model, messages: [{ role: 'user', content }] }).withResponse()
const region = (name: string) => {
  const found = platform.dev.regions.find((each) => each.name === name)
  if (!found) throw new Error(`no region ${name}`)
  return found
}
const setFaults = (name: string, faults: object) =>
  fetch(`${region(name).controlUrl}/faults`, { method: 'PUT', body: JSON.stringify({ latencyMs: 5, ...faults }) })

/** In-flight leases that the ledgers report to core. */
const leased = async (): Promise<number> => {
  const status = (await (await admin(platform.dev, 'GET', 'status')).json()) as { ledgers: { inFlight: Record<string, number> }[] }
  return status.ledgers.flatMap(({ inFlight }) => Object.values(inFlight)).reduce((sum, n) => sum + n, 0)
}
const nothingInFlight = async () => {
  const engines = await Promise.all(
    platform.dev.regions.map(({ pid, controlUrl }) => (isAlive(pid) ? engineState(controlUrl) : Promise.resolve({ inFlight: 0 }))),
  )
  return engines.every(({ inFlight }) => inFlight === 0) && (await leased()) === 0
}

describe('streams', () => {
  it('a stream that its client leaves stops the engine’s work and returns the lease', async () => {
    const before = (await engineState(region('us-east').controlUrl)).aborted
    const stream = await openai.chat.completions.create({
      model,
      stream: true,
      messages: [{ role: 'user', content: 'Which countries are in Africa?' }],
    })
    let seen = 0
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) seen++
      if (seen === 3) break
    }
    await until(async () => (await nothingInFlight()) || null)
    expect((await engineState(region('us-east').controlUrl)).aborted).toBeGreaterThan(before)
  })

  it('a request in one piece whose client hangs up gives its lease back when the engine has answered', async () => {
    // Before it writes, the local runtime does not notice a caller who closes in good order; the real one tells through request.signal.
    const leaving = new AbortController()
    await setFaults('us-east', { latencyMs: 3_000 })
    try {
      const asked = openai.chat.completions.create({ model, messages: [{ role: 'user', content: 'hi' }] }, { signal: leaving.signal })
      await until(async () => (await leased()) > 0 || null)
      leaving.abort()
      await expect(asked).rejects.toThrow()
      await until(async () => (await nothingInFlight()) || null)
    } finally {
      await setFaults('us-east', {})
    }
  })

  it('a stream that the engine cuts in the middle ends with an error, never as if it were whole', async () => {
    await setFaults('us-east', { cutAfterTokens: 3 })
    try {
      const stream = await openai.chat.completions.create({
        model,
        stream: true,
        messages: [{ role: 'user', content: 'Which countries border Germany?' }],
      })
      const reading = (async () => {
        let text = ''
        for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
        return text
      })()
      await expect(reading).rejects.toMatchObject({ code: 'upstream_failed' })
    } finally {
      await setFaults('us-east', {})
    }
  })

  it('an engine that answers errors is covered by another region', async () => {
    await setFaults('us-east', { errorShare: 1, errorStatus: 500 })
    try {
      const { data, response } = await ask()
      expect(data.choices[0]?.message.content).toContain('Nairobi')
      expect(response.headers.get('isochrone-region')).not.toBe('us-east')
    } finally {
      await setFaults('us-east', {})
    }
  })
})

describe('core', () => {
  it('killed and restarted while requests run: no request fails, and core obeys operators again', async () => {
    const run = { on: true }
    const failures: unknown[] = []
    let served = 0
    const client = async () => {
      while (run.on) {
        try {
          await ask()
          served++
        } catch (cause) {
          failures.push(cause)
        }
      }
    }
    const clients = [client(), client(), client()]
    await until(async () => served > 10 || null)
    process.kill(platform.dev.processes.core, 'SIGKILL')
    const servedAtKill = served
    await until(async () => !isAlive(platform.dev.processes.core) || null)
    await until(async () => served > servedAtKill + 20 || null)
    await until(async () => {
      try {
        return (await fetch(`${platform.dev.coreUrl}/health`)).ok
      } catch {
        return null
      }
    })
    // Alive again: a write reaches the edge.
    const made = (await (
      await admin(platform.dev, 'POST', 'keys', { tenant: 'demo', environment: 'development', name: 'after' })
    ).json()) as { key: string }
    const fresh = new OpenAI({ baseURL: `${platform.dev.edgeUrl}/v1`, apiKey: made.key, maxRetries: 0 })
    await until(async () => {
      try {
        return (await fresh.models.list()).data.length > 0
      } catch (cause) {
        if (cause instanceof OpenAI.APIError) return null
        throw cause
      }
    })
    run.on = false
    await Promise.all(clients)
    expect(failures).toEqual([])
    expect(served).toBeGreaterThan(30)
    expect(platform.output()).toContain('core ended')
  })
})

describe('an engine', () => {
  it('killed during fifty concurrent requests: each is answered or refused cleanly, and the next are served by the other regions', async () => {
    const asked = Array.from({ length: 50 }, () => ask())
    const results = Promise.allSettled(asked)
    await until(async () => (await engineState(region('us-east').controlUrl)).inFlight > 0 || null, 2)
    process.kill(region('us-east').pid, 'SIGKILL')
    let answered = 0
    const codes: unknown[] = []
    for (const result of await results) {
      if (result.status === 'fulfilled') {
        expect(result.value.data.choices[0]?.message.content).toContain('Nairobi')
        answered++
        continue
      }
      codes.push((result.reason as { code?: unknown }).code)
      expect(result.reason).toBeInstanceOf(OpenAI.APIError)
      expect(['no_capacity', 'upstream_unreachable', 'upstream_failed']).toContain((result.reason as { code: string }).code)
    }
    // How many depends on the moment of the kill; that the living engines answered theirs does not.
    expect(answered, JSON.stringify(codes)).toBeGreaterThanOrEqual(16)

    for (let i = 0; i < 20; i++) {
      const { data, response } = await ask()
      expect(data.choices[0]?.message.content).toContain('Nairobi')
      expect(['eu-west', 'ap-south']).toContain(response.headers.get('isochrone-region'))
    }
    await until(async () => (await nothingInFlight()) || null)
    expect(platform.output()).toContain('The engine of us-east is gone')
  })

  it('every engine gone: a refusal that says so, at once, also when all of them would be out', async () => {
    for (const { pid } of platform.dev.regions) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
    await until(async () => platform.dev.regions.every(({ pid }) => !isAlive(pid)) || null)
    const refused = () =>
      ask().then(
        () => null,
        (cause: unknown) => cause,
      )
    const first = await refused()
    expect(first).toBeInstanceOf(OpenAI.APIError)
    expect((first as { status: number }).status).toBeGreaterThanOrEqual(502)
    // Nobody is left to send requests to instead, so all are let in, for one of them may be back: it is the servers that refuse then.
    await until(async () => {
      await refused()
      const { endpoints } = (await (await admin(platform.dev, 'GET', 'status')).json()) as { endpoints: { reason: string }[] }
      return endpoints.every(({ reason }) => reason.startsWith('panic')) || null
    }, 500)
    // Isolates hear of it a moment after core has decided it.
    const told = await until(async () => {
      const cause = (await refused()) as { readonly status: number; readonly code: string }
      return cause.code === 'no_healthy_endpoint' ? null : cause
    }, 100)
    expect(told).toMatchObject({ status: 502, code: 'upstream_unreachable' })
  })
})
