// The fake of the stores of new versions holds the contract that D1's adapters hold (test/worker/core/rollout-stores.test.ts).

import { beforeEach, describe } from 'vitest'
import { rowsContract } from '../../contract/core/database.ts'
import { deploymentStoreContract } from '../../contract/core/deployment-store.ts'
import { recordStoresContract } from '../../contract/core/record-stores.ts'
import { rolloutStoreContract } from '../../contract/core/rollout-store.ts'
import { fakeStores, type FakeStores } from '../../support/rollout-stores.ts'

let stores: FakeStores
beforeEach(() => {
  stores = fakeStores()
})

describe('rows', () => {
  rowsContract(() => stores)
})
describe('rollouts', () => {
  rolloutStoreContract(() => stores)
})
describe('deployments', () => {
  deploymentStoreContract(() => stores)
})
describe('records', () => {
  recordStoresContract(() => stores)
})
