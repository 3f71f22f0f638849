// One platform for all files of a suite: starting it takes seconds. A vitest globalSetup; gateway.ts finds it, or starts its own.

import type { TestProject } from 'vitest/node'
import { forgetHome, startPlatform, type Dev } from './platform.ts'

declare module 'vitest' {
  interface ProvidedContext {
    dev: Dev
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const platform = await startPlatform()
  project.provide('dev', platform.dev)
  return async () => {
    await platform.stop()
    forgetHome(platform.home)
  }
}
