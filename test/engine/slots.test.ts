// Slots: first come, first served, bounded, and never lost.
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openSlots, type Lease } from '../../cli/engine/slots.ts'

const open = (count: number, waitingMax: number) =>
  openSlots(
    Array.from({ length: count }, (_, index) => index),
    waitingMax,
  )
const never = new AbortController().signal

describe('openSlots', () => {
  it('serves in the order of arrival', async () => {
    const slots = open(1, 3)
    const first = await slots.take(never)
    const order: number[] = []
    const others = [1, 2, 3].map(async (number) => {
      const lease = await slots.take(never)
      order.push(number)
      lease?.giveBack()
    })
    expect([slots.waiting(), slots.room()]).toEqual([3, 0])
    first?.giveBack()
    await Promise.all(others)
    expect([order, slots.waiting(), slots.busy()]).toEqual([[1, 2, 3], 0, [false]])
  })

  it('lets a waiter leave, and does not serve it', async () => {
    const slots = open(1, 2)
    const first = await slots.take(never)
    const leaving = new AbortController()
    const gone = slots.take(leaving.signal)
    const stays = slots.take(never)
    leaving.abort()
    expect(await gone).toBeNull()
    expect(slots.waiting()).toBe(1)
    first?.giveBack()
    expect(await stays).not.toBeNull()
  })

  it('gives back once, however often it is told to', async () => {
    const slots = open(1, 1)
    const first = await slots.take(never)
    first?.giveBack()
    const second = await slots.take(never)
    first?.giveBack()
    expect(slots.busy()).toEqual([true])
    second?.giveBack()
    expect(slots.busy()).toEqual([false])
  })

  it('throws when taken beyond the queue', async () => {
    const slots = open(1, 0)
    await slots.take(never)
    expect(slots.room()).toBe(0)
    expect(() => slots.take(never)).toThrow(/without room/)
  })

  it('never has two holders of a slot, nor loses one', async () => {
    const step = fc.constantFrom('take', 'giveBack', 'leave')
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const slots = open(3, 5)
        const held: Lease<number>[] = []
        const waiting: AbortController[] = []
        for (const what of steps) {
          if (what === 'take' && slots.room() > 0) {
            const leaving = new AbortController()
            waiting.push(leaving)
            void slots.take(leaving.signal).then((lease) => {
              waiting.splice(waiting.indexOf(leaving), 1)
              if (lease !== null) held.push(lease)
            })
          }
          if (what === 'giveBack') held.shift()?.giveBack()
          if (what === 'leave') waiting[0]?.abort()
          await Promise.resolve()
          await Promise.resolve()
          expect(new Set(held.map((lease) => lease.resource)).size).toBe(held.length)
          expect(slots.busy().filter((isBusy) => isBusy).length).toBe(held.length)
        }
      }),
    )
  })
})
