// Sampling one after the other, around a native context of a few lines.
import { expect, it } from 'vitest'
import { sampleOneByOne } from '../../cli/engine/one-by-one.ts'

class Native {
  running = 0
  runningMax = 0
  async sampleToken(token: number): Promise<number> {
    this.running += 1
    this.runningMax = Math.max(this.runningMax, this.running)
    await new Promise((resolve) => setImmediate(resolve))
    this.running -= 1
    if (token < 0) throw new Error('no token')
    return token
  }
}

it('never samples twice at a time, in order, and survives a failure', async () => {
  const native = new Native()
  sampleOneByOne({ _ctx: native })
  const settled = await Promise.allSettled([1, -1, 3].map((token) => native.sampleToken(token)))
  expect(settled.map((one) => (one.status === 'fulfilled' ? one.value : String(one.reason)))).toEqual([1, 'Error: no token', 3])
  expect(native.runningMax).toBe(1)
})

it.each([[{}], [{ _ctx: null }], [{ _ctx: {} }]])('refuses a context it does not know: %j', (context) => {
  expect(() => sampleOneByOne(context)).toThrow(/has changed/)
})
