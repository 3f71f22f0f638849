// The edge Worker's entry: the public API, and the objects it hosts.

import { app } from './app.ts'

export { Ledger } from './ledger/ledger.ts'

export default app
