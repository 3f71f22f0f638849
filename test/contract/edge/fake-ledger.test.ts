import { fakeLedger } from '../../support/fake-ledger.ts'
import { ledgerContract } from './ledger.contract.ts'

ledgerContract('fake', () => fakeLedger())
