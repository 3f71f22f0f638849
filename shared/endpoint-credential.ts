// What an endpoint's credential may be, by kind. Core reads it from an operator before it is sealed, the edge after it was opened.
// No message here repeats what was given: it is a secret even when it is wrong.

import * as v from 'valibot'
import type { EndpointKind } from './operations.ts'
import { err, ok, type Result } from './result.ts'

/** Visible ASCII only: fetch would refuse anything else in a header, in an error that quotes it. */
const secret = v.pipe(
  v.string('must be a text'),
  v.regex(/^[\x21-\x7e]{8,8192}$/, 'must be 8 to 8192 visible ASCII characters without spaces'),
)

/** As secret, with spaces inside: `Basic dXNlcjpwYXNz` is one. */
const headerValue = v.pipe(
  v.string('must be a text'),
  v.regex(/^[\x21-\x7e][\x20-\x7e]{6,8190}[\x21-\x7e]$/, 'must be 8 to 8192 ASCII characters, without spaces at its ends'),
)

/** Headers that belong to the message or the connection (RFC 9110, 7.6.1), not to whom is speaking. */
const takenHeaders = new Set(
  'accept accept-encoding connection content-encoding content-length content-type cookie expect host keep-alive origin proxy-authorization proxy-connection te trailer transfer-encoding upgrade user-agent via x-request-id'.split(
    ' ',
  ),
)
const headerName = v.pipe(
  v.string('must be a text'),
  v.regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, 'must be a header name: 1 to 64 letters, digits and "-", beginning with a letter'),
  v.toLowerCase(),
  v.check((name) => !takenHeaders.has(name), 'must be a header that is free to carry a credential'),
)

const bearer = v.strictObject({ bearer: secret }, 'must be an object')
const ownHeader = v.strictObject({ header: headerName, value: headerValue }, 'must be an object')
const apiKey = v.strictObject({ apiKey: secret }, 'must be an object')
const aws = v.strictObject(
  {
    accessKeyId: v.pipe(v.string('must be a text'), v.regex(/^[A-Z0-9]{16,128}$/, 'must be an access key id: 16 to 128 of A-Z and 0-9')),
    secretAccessKey: secret,
    sessionToken: v.optional(secret),
  },
  'must be an object',
)

export type HttpCredential = v.InferOutput<typeof bearer> | v.InferOutput<typeof ownHeader> | v.InferOutput<typeof apiKey>
export type AwsCredential = v.InferOutput<typeof aws>
export type EndpointCredential = HttpCredential | AwsCredential

/** What is wrong with a credential, in words that do not repeat it; `param` is a path below it, empty for the whole. */
export type CredentialFault = { readonly param: string; readonly detail: string }

/** The credential as an endpoint of this kind takes it. */
export function readEndpointCredential(kind: EndpointKind, value: unknown): Result<EndpointCredential, CredentialFault> {
  const schema = schemaFor(kind, value)
  const parsed = v.safeParse(schema, value, { abortEarly: true })
  if (parsed.success) return ok(parsed.output)
  const issue = parsed.issues[0]
  const known = Object.keys(schema.entries)
  return err({ param: known.find((name) => name === v.getDotPath(issue)) ?? '', detail: wordsOf(issue, forms[kind]) })
}

const forms: Readonly<Record<EndpointKind, string>> = {
  openai: '{"bearer"} or {"header","value"}',
  open_inference: '{"bearer"} or {"header","value"}',
  anthropic: '{"apiKey"}',
  sagemaker: '{"accessKeyId","secretAccessKey"} and perhaps "sessionToken"',
}

function schemaFor(kind: EndpointKind, value: unknown) {
  switch (kind) {
    case 'openai':
    case 'open_inference':
      return typeof value === 'object' && value !== null && 'header' in value ? ownHeader : bearer
    case 'anthropic':
      return apiKey
    case 'sagemaker':
      return aws
  }
}

/** An unknown field's name is not repeated either: a secret pasted in the wrong place may be one. */
function wordsOf(issue: v.BaseIssue<unknown>, form: string): string {
  if (issue.type !== 'strict_object') return issue.message
  const wanted = `must be ${form} for an endpoint of this kind, or null`
  return issue.path && issue.expected !== 'never' ? `is missing: a credential ${wanted}` : wanted
}

/** The parts of a credential that must not be seen anywhere. */
export function secretsOf(credential: EndpointCredential): readonly string[] {
  if ('bearer' in credential) return [credential.bearer]
  if ('apiKey' in credential) return [credential.apiKey]
  if ('value' in credential) {
    // `Basic <secret>`: an answer may repeat the part alone.
    const last = credential.value.split(' ').at(-1) ?? ''
    return last.length >= 8 ? [credential.value, last] : [credential.value]
  }
  return [credential.secretAccessKey, ...(credential.sessionToken === undefined ? [] : [credential.sessionToken])]
}
