// The faults that a soak switches on and off, by name: how, on what, and which failures of requests each of them explains.
// A fault that the platform must carry without a failed request explains none.

import { nearest, sibling, type Scene } from '../support/fault-scene.ts'

export type Fault = {
  readonly name: string
  readonly on: (scene: Scene) => Promise<unknown>
  readonly off: (scene: Scene) => Promise<unknown>
  /** Codes of failures that it explains while it is on. */
  readonly explains: readonly string[]
  /** At least this part of the requests is served all the same, over the whole time that it is on. */
  readonly servedMin: number
  /** Ends a runtime process of the platform: whose memory is measured must not be ended meanwhile. */
  readonly endsRuntime: boolean
}

const region = [nearest, sibling]

const engineFault = (name: string, id: string, faults: object, so: Pick<Fault, 'explains' | 'servedMin'>): Fault => ({
  name,
  on: (scene) => scene.setFaults(id, faults),
  off: (scene) => scene.heal(id),
  endsRuntime: false,
  ...so,
})

const each = (act: (scene: Scene, id: string) => Promise<unknown>, ids: readonly string[]) => async (scene: Scene) => {
  for (const id of ids) await act(scene, id)
}

const broken = ['upstream_failed', 'upstream_unreachable', 'no_capacity'] as const
/** What is asked of an engine that does not answer at all may also run out of time. */
const hung = [...broken, 'upstream_timeout', 'upstream_stalled', 'deadline_exceeded'] as const

export const soakFaults: readonly Fault[] = [
  {
    name: 'killed',
    on: async (scene) => scene.signal(nearest, 'SIGKILL'),
    off: (scene) => scene.restart(nearest),
    explains: broken,
    servedMin: 0.97,
    endsRuntime: false,
  },
  engineFault('wedged', nearest, { hangBeforeFirstToken: 1 }, { explains: hung, servedMin: 0.8 }),
  engineFault('four times slower', sibling, { slowFactor: 4 }, { explains: [], servedMin: 1 }),
  engineFault('40 % errors', sibling, { errorShare: 0.4, errorsInARowMax: 4 }, { explains: broken, servedMin: 0.95 }),
  engineFault('fast 500s', nearest, { errorShare: 1 }, { explains: broken, servedMin: 0.97 }),
  engineFault('429 only', sibling, { errorShare: 1, errorStatus: 429, retryAfterS: 2 }, { explains: ['upstream_busy'], servedMin: 0.97 }),
  {
    name: 'region cut off',
    on: each((scene, id) => scene.setFaults(id, { closed: true }), region),
    off: each((scene, id) => scene.heal(id), region),
    explains: broken,
    servedMin: 0.85,
    endsRuntime: false,
  },
  {
    name: 'region stopped',
    on: each(async (scene, id) => scene.signal(id, 'SIGSTOP'), region),
    off: each(async (scene, id) => scene.signal(id, 'SIGCONT'), region),
    explains: hung,
    servedMin: 0.7,
    endsRuntime: false,
  },
  {
    name: 'core gone',
    on: async (scene) => scene.hold('core'),
    off: async (scene) => scene.release('core'),
    explains: [],
    servedMin: 1,
    endsRuntime: true,
  },
  {
    name: 'ledgers gone',
    on: async (scene) => scene.hold('ledgers'),
    off: async (scene) => scene.release('ledgers'),
    explains: [],
    servedMin: 1,
    endsRuntime: true,
  },
]

/** Lies under the others for half of the soak: five minutes of ten. It explains nothing. */
export const metricsGone = { metricsStatus: 404 }
