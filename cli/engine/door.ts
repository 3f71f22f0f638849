// cli/engine/door.ts — the main port as a door that can be shut while the engine runs: what is connected is cut off, and nobody gets in, as when
// the way to a region is lost. Opened again, it is the same port.
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export type Door = { readonly setOpen: (isOpen: boolean) => Promise<void> }

/** While it was shut, somebody's outgoing connection may have been given the port for a moment. */
const tries = 50
const betweenTriesMs = 100

/** The door of a server that listens. Throws when its port was taken meanwhile and is not given back. */
export function openDoor(server: Server): Door {
  const { port, address: host } = server.address() as AddressInfo
  const follow = async (isOpen: boolean): Promise<void> => {
    if (isOpen === server.listening) return
    if (!isOpen) {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
      return
    }
    for (let left = tries; ; left--) {
      try {
        await once(server.listen(port, host), 'listening')
        return
      } catch (error) {
        if (left === 0) throw error
        await sleep(betweenTriesMs)
      }
    }
  }
  // One after the other, in the order they were asked for.
  let last: Promise<void> = Promise.resolve()
  return {
    setOpen: (isOpen) => {
      last = last.catch(() => undefined).then(() => follow(isOpen))
      return last
    },
  }
}
