// How an Amazon SageMaker endpoint is written in a row: `https://runtime.sagemaker.<region>.amazonaws.com/endpoints/<name>`, the base of
// its invocations. Another host (a VPC endpoint's own name, a stand-in) is good where the row's options name the region. Pure.

import { err, ok, type Result } from './result.ts'

export type SageMakerPlace = {
  /** Where the service answers, without a trailing slash; `/endpoints/<name>/invocations` is appended. */
  readonly base: string
  readonly name: string
  readonly region: string
}

export type SageMakerFault = 'no_endpoint_name' | 'no_region'

/** Names of endpoints, variants and inference components (API reference of InvokeEndpoint). */
export const sageMakerName = /^[A-Za-z0-9](?:-*[A-Za-z0-9]){0,62}$/
export const awsRegion = /^[a-z]{2,3}(?:-[a-z]+)+-\d{1,2}$/

/** The service's own hosts: public, FIPS, VPC, and those of China, for instance `vpce-1.runtime.sagemaker.eu-west-1.vpce.amazonaws.com`. */
const serviceHost = /(?:^|\.)runtime(?:-fips)?\.sagemaker(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?$/

/** Reads a row's url; `region` is what its options say, and goes before what the host says. */
export function readSageMakerUrl(url: string, region: string | undefined): Result<SageMakerPlace, SageMakerFault> {
  const { origin, hostname, pathname } = new URL(url)
  const path = /^(.*)\/endpoints\/([^/]+)$/.exec(pathname)
  const name = path?.[2]
  if (!path || name === undefined || !sageMakerName.test(name)) return err('no_endpoint_name')
  const where = region ?? serviceHost.exec(hostname)?.[1]
  if (where === undefined || !awsRegion.test(where)) return err('no_region')
  return ok({ base: `${origin}${path[1] ?? ''}`, name, region: where })
}

/**
 * Where the control plane answers: `https://api.sagemaker.<region>.amazonaws.com/`, also beside a runtime's VPC endpoint, whose own name
 * says nothing of the control plane's. A host that is not Amazon's stands in for both.
 */
export function controlPlaneOf({ base, region }: SageMakerPlace): string {
  const { origin, hostname } = new URL(base)
  const [domain] = /\.amazonaws\.com(?:\.cn)?$/.exec(hostname) ?? []
  if (domain === undefined) return `${origin}/`
  const api = /(?:runtime|sagemaker)-fips\./.test(hostname) ? 'api-fips' : 'api'
  return `https://${api}.sagemaker.${region}${domain}/`
}
