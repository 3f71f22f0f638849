// Under which names texts are sealed. A seal binds a text to one row (shared/sealed.ts): targets and endpoints never share an id in that sense,
// for an endpoint's id has no colon.

import type { EndpointId } from '../shared/ids.ts'

export const sealNameOf = (target: string): EndpointId => `target:${target}` as EndpointId
