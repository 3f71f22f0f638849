// cli/engine/slots.ts — who may generate now: a fixed set of slots and a bounded queue, first come, first served. Knows nothing of models.

export type Lease<T> = { readonly id: number; readonly resource: T; readonly giveBack: () => void }

export type Slots<T> = {
  /** Waits for a slot; null when `signal` aborts first. Takes its place in the queue before it returns. */
  readonly take: (signal: AbortSignal) => Promise<Lease<T> | null>
  /** How many more may come now, at once, before `take` would exceed the queue. */
  readonly room: () => number
  readonly busy: () => readonly boolean[]
  readonly waiting: () => number
  readonly waitingMax: number
}

type Waiter<T> = { readonly wake: (lease: Lease<T> | null) => void }

/** `take` throws when called without `room`: the caller has to ask first, in the same turn. */
export function openSlots<T>(resources: readonly T[], waitingMax: number): Slots<T> {
  const busy = resources.map(() => false)
  const waiters: Waiter<T>[] = []
  const freeCount = (): number => busy.filter((isBusy) => !isBusy).length

  function lease(id: number, resource: T): Lease<T> {
    busy[id] = true
    let isHeld = true
    const giveBack = (): void => {
      if (!isHeld) return
      isHeld = false
      busy[id] = false
      const next = waiters.shift()
      if (next !== undefined) next.wake(lease(id, resource))
    }
    return { id, resource, giveBack }
  }

  function take(signal: AbortSignal): Promise<Lease<T> | null> {
    if (signal.aborted) return Promise.resolve(null)
    const id = busy.indexOf(false)
    const resource = resources[id]
    if (resource !== undefined) return Promise.resolve(lease(id, resource))
    if (waiters.length >= waitingMax) throw new Error('slots: taken without room')
    return new Promise((resolve) => {
      const leave = (): void => {
        waiters.splice(waiters.indexOf(waiter), 1)
        resolve(null)
      }
      const waiter: Waiter<T> = {
        wake: (granted) => {
          signal.removeEventListener('abort', leave)
          resolve(granted)
        },
      }
      waiters.push(waiter)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  return { take, room: () => freeCount() + waitingMax - waiters.length, busy: () => [...busy], waiting: () => waiters.length, waitingMax }
}
