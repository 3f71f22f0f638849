// One platform for all files of a suite: starting it takes seconds. A vitest globalSetup; gateway.ts finds it, or starts its own.

import type { TestProject } from 'vitest/node'
import { forgetHome, startPlatform, type Dev, type Platform } from './platform.ts'

declare module 'vitest' {
  interface ProvidedContext {
    dev: Dev
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const platform = await startOnFreePorts()
  project.provide('dev', platform.dev)
  return async () => {
    await platform.stop()
    forgetHome(platform.home)
  }
}

/** A port that was free when it was chosen may be taken seconds later, when it is needed: by an outgoing connection of anything else here. */
export async function startOnFreePorts(attempts = 3): Promise<Platform> {
  try {
    return await startPlatform()
  } catch (cause) {
    if (attempts > 1 && String(cause).includes('in use')) return startOnFreePorts(attempts - 1)
    throw cause
  }
}
