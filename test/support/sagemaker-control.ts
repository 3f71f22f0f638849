// Stands in for Amazon SageMaker's control plane on loopback: DescribeEndpoint, UpdateEndpoint and UpdateEndpointWeightsAndCapacities over
// AWS JSON 1.1, signatures verified by AWS's own code, state kept between calls. A change takes so many descriptions as the endpoint says,
// and meanwhile every other change is refused, as the API reference says of an endpoint that is Updating.

import type { ServerResponse } from 'node:http'
import { serve, type LocalServer, type Recording } from './http-server.ts'
import { signatureFault, type Keys } from './sagemaker-server.ts'

/** Weights by variant. */
type Weights = Readonly<Record<string, number>>

export type ControlledEndpoint = {
  config: string
  status: string
  failureReason?: string
  weights: Weights
  /** Descriptions that a change lasts. */
  readonly describesPerChange: number
  /** The change under way; `rollsBack`: it ends where it began. */
  change?: { left: number; readonly config: string; readonly weights: Weights; readonly rollsBack: boolean }
}

export type PlannedFault = { readonly of?: string; readonly status: number; readonly type: string; readonly message?: string }

export type ControlPlane = LocalServer & {
  readonly endpoints: Map<string, ControlledEndpoint>
  /** The variants of each endpoint configuration, with the weights that it begins with. */
  readonly configs: Map<string, Weights>
  /** Changes to this configuration fail, and are rolled back. */
  readonly broken: Set<string>
  /** What calls are answered with instead, each once: the first that is of this operation, or of any. */
  readonly faults: PlannedFault[]
  /** Calls by name, those refused for their signature left out. */
  readonly calls: string[]
}

type Body = {
  readonly EndpointName?: string
  readonly EndpointConfigName?: string
  readonly RetainAllVariantProperties?: boolean
  readonly DesiredWeightsAndCapacities?: readonly { readonly VariantName: string; readonly DesiredWeight?: number }[]
}

export async function sageMakerControl(keys: Keys, region: string): Promise<ControlPlane> {
  const held = {
    endpoints: new Map<string, ControlledEndpoint>(),
    configs: new Map<string, Weights>(),
    broken: new Set<string>(),
    faults: [] as PlannedFault[],
    calls: [] as string[],
  }
  const server = await serve(async (asked, response, bytes) => {
    const fault = await signatureFault({ ...asked, bytes }, keys, region)
    // As AWS does: the message repeats what was signed.
    if (fault) return refuse(response, 400, fault, `${fault}: ${JSON.stringify(asked.headers)}`)
    answer(asked, response, held)
  })
  return { ...server, ...held }
}

type Held = Omit<ControlPlane, keyof LocalServer>

function answer(asked: Recording, response: ServerResponse, held: Held): void {
  const isWellFormed = asked.method === 'POST' && asked.path === '/' && asked.headers['content-type'] === 'application/x-amz-json-1.1'
  const operation = /^SageMaker\.(\w+)$/.exec(asked.headers['x-amz-target'] ?? '')?.[1]
  if (!isWellFormed || operation === undefined) return refuse(response, 400, 'UnknownOperationException', '')
  held.calls.push(operation)
  const index = held.faults.findIndex(({ of = operation }) => of === operation)
  const [planned] = index === -1 ? [] : held.faults.splice(index, 1)
  if (planned) return refuse(response, planned.status, planned.type, planned.message ?? planned.type)
  const body = JSON.parse(asked.body) as Body
  const name = body.EndpointName ?? ''
  const endpoint = held.endpoints.get(name)
  if (!endpoint) return refuse(response, 400, 'ValidationException', `Could not find endpoint "${name}".`)
  switch (operation) {
    case 'DescribeEndpoint':
      return describe(name, endpoint, response)
    case 'UpdateEndpoint':
      return update(name, endpoint, body, { response, held })
    case 'UpdateEndpointWeightsAndCapacities':
      return reweigh(name, endpoint, body, response)
    default:
      return refuse(response, 400, 'UnknownOperationException', '')
  }
}

function describe(name: string, endpoint: ControlledEndpoint, response: ServerResponse): void {
  tick(endpoint)
  const { config, status, failureReason, weights, change } = endpoint
  const variants = Object.entries(weights).map(([variant, weight]) => ({
    VariantName: variant,
    CurrentWeight: weight,
    DesiredWeight: change?.weights[variant] ?? weight,
    CurrentInstanceCount: 1,
    DesiredInstanceCount: 1,
  }))
  tell(response, {
    EndpointName: name,
    EndpointArn: arnOf(name),
    EndpointConfigName: config,
    EndpointStatus: status,
    ...(failureReason === undefined ? {} : { FailureReason: failureReason }),
    ProductionVariants: variants,
    CreationTime: 1.7633e9,
    LastModifiedTime: 1.7634e9,
  })
}

/** One description's worth of time. */
function tick(endpoint: ControlledEndpoint): void {
  const { change } = endpoint
  if (!change) return
  if (change.left-- > 0) return
  delete endpoint.change
  endpoint.status = 'InService'
  if (change.rollsBack) return
  endpoint.config = change.config
  endpoint.weights = change.weights
}

function update(
  name: string,
  endpoint: ControlledEndpoint,
  body: Body,
  { response, held }: { readonly response: ServerResponse; readonly held: Held },
): void {
  const refused = whyNot(endpoint)
  if (refused !== null) return refuse(response, 400, 'ValidationException', refused)
  const config = body.EndpointConfigName ?? ''
  const begins = held.configs.get(config)
  if (!begins) return refuse(response, 400, 'ValidationException', `Could not find endpoint configuration "${config}".`)
  const kept = body.RetainAllVariantProperties === true ? endpoint.weights : {}
  const weights = Object.fromEntries(Object.entries(begins).map(([variant, weight]) => [variant, kept[variant] ?? weight]))
  begin(endpoint, { config, weights, rollsBack: held.broken.has(config) })
  tell(response, { EndpointArn: arnOf(name) })
}

function reweigh(name: string, endpoint: ControlledEndpoint, body: Body, response: ServerResponse): void {
  const refused = whyNot(endpoint)
  if (refused !== null) return refuse(response, 400, 'ValidationException', refused)
  const wanted = body.DesiredWeightsAndCapacities ?? []
  const strange = wanted.find(({ VariantName }) => !(VariantName in endpoint.weights))
  if (strange || wanted.length === 0) return refuse(response, 400, 'ValidationException', `No variant ${strange?.VariantName ?? ''}`)
  const weights = {
    ...endpoint.weights,
    ...Object.fromEntries(wanted.map(({ VariantName, DesiredWeight = 0 }) => [VariantName, DesiredWeight])),
  }
  begin(endpoint, { config: endpoint.config, weights, rollsBack: false })
  tell(response, { EndpointArn: arnOf(name) })
}

const whyNot = ({ status }: ControlledEndpoint): string | null =>
  status === 'InService' ? null : `Cannot update in-progress endpoint: its status is ${status}.`

function begin(
  endpoint: ControlledEndpoint,
  to: { readonly config: string; readonly weights: Weights; readonly rollsBack: boolean },
): void {
  endpoint.status = 'Updating'
  endpoint.change = { left: endpoint.describesPerChange, ...to }
}

const arnOf = (name: string): string => `arn:aws:sagemaker:eu-central-1:1:endpoint/${name}`
const head = { 'content-type': 'application/x-amz-json-1.1' }
const tell = (response: ServerResponse, body: object): void => void response.writeHead(200, head).end(JSON.stringify(body))
const refuse = (response: ServerResponse, status: number, type: string, message: string): void =>
  void response.writeHead(status, head).end(JSON.stringify({ __type: type, message }))
