// The upstream contract inside workerd, for the one adapter that brings a library along: AWS's SDK, its signatures verified outside.

import { upstreamContract } from '../../contract/edge/upstream.contract.ts'
import { endpoint } from '../../support/snapshot.ts'
import { sageMakerKeys, sageMakerRegion, type Seen } from '../../support/upstream-scenarios.ts'

const urlOf = (scenario: string) => `https://sagemaker.test/endpoints/${scenario}`

upstreamContract(
  () => ({
    name: 'sagemaker',
    endpoint: (scenario) =>
      endpoint(`e-${scenario}`, 'x', { kind: 'sagemaker', url: urlOf(scenario), options: { region: sageMakerRegion } }),
    credential: sageMakerKeys,
    canaries: [sageMakerKeys.secretAccessKey, sageMakerKeys.sessionToken],
    bore: (seen) => seen.headers['authorization']?.includes(`Credential=${sageMakerKeys.accessKeyId}/`) ?? false,
    seen: async () => (await fetch('https://sagemaker.test/seen')).json<Seen[]>(),
    // What cannot be reached is an answer of the test runner's own here.
    deaf: null,
    seesLeaving: false,
    seesCuts: false,
  }),
  'sagemaker in workerd',
)
