// How fast each model has been lately, per isolate: plain numbers, for at most limits.cadencesHeldMax versions.

import { limits } from '../../shared/limits.ts'
import type { VersionId } from '../../shared/ids.ts'
import type { Cadences } from '../ports.ts'
import type { Cadence } from '../facts.ts'
import { observe } from '../stream/cadence.ts'

export type CadenceMemory = Map<VersionId, Cadence>

export const cadences = (memory: CadenceMemory): Cadences => ({
  of: (version) => memory.get(version) ?? null,
  learn: (version, gapMs) => {
    const learnt = observe(memory.get(version) ?? null, gapMs)
    memory.delete(version)
    memory.set(version, learnt)
    const oldest = memory.size > limits.cadencesHeldMax ? memory.keys().next().value : undefined
    if (oldest !== undefined) memory.delete(oldest)
  },
})
