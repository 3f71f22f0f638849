// How many copies one isolate has on its hands, and how many it did not make: two numbers, of which the first is at most limits.shadowsMax.

import { limits } from '../../shared/limits.ts'
import type { Shadows } from '../ports.ts'

export type ShadowMemory = { held: number; dropped: number }

export const emptyShadowMemory = (): ShadowMemory => ({ held: 0, dropped: 0 })

export function shadowPlaces(memory: ShadowMemory): Shadows {
  const drop = (): void => {
    memory.dropped += 1
  }
  return {
    take: () => {
      if (memory.held >= limits.shadowsMax) {
        drop()
        return false
      }
      memory.held += 1
      return true
    },
    leave: () => {
      memory.held = Math.max(0, memory.held - 1)
    },
    drop,
    dropped: () => {
      const { dropped } = memory
      memory.dropped = 0
      return dropped
    },
  }
}
