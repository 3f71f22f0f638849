// The control loop's object: there is one, under one name.

import type { ControllerCalls } from '../ports.ts'

const name = 'controller'

export function controllerCalls(namespace: DurableObjectNamespace<ControllerCalls & Rpc.DurableObjectBranded>): ControllerCalls {
  // A stub per call: after an error a stub may stay broken.
  const stub = () => namespace.get(namespace.idFromName(name))
  return {
    nudge: async () => {
      await stub().nudge()
    },
    status: async () => stub().status(),
    planRollout: async (asked) => stub().planRollout(asked),
    createRollout: async (asked, stamp) => stub().createRollout(asked, stamp),
    commandRollout: async (id, command, stamp) => stub().commandRollout(id, command, stamp),
    explainRollout: async (id) => stub().explainRollout(id),
  }
}
