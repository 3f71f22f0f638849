// cli/engine/refuse.ts — every answer that says no, in the shapes real engines use: OpenAI's for what clients parse, llama.cpp's own for
// "loading" and "too long", whose extra fields callers read. Pure: nothing here writes a response.
export type Refusal = {
  readonly status: number
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly refusal: Refusal }

export const ok = <T>(value: T): Result<T> => ({ ok: true, value })
export const no = (refusal: Refusal): { readonly ok: false; readonly refusal: Refusal } => ({ ok: false, refusal })

/** A full queue empties within seconds here; clients of openai 7 ignore a Retry-After above 60. */
const retryAfterS = 1

function openAi(status: number, message: string, type: string, param: string | null, code: string | null): Refusal {
  return { status, body: { error: { message, type, param, code } } }
}

/** 400: the request is wrong at `param` (null when it is wrong as a whole). */
export function invalid(message: string, param: string | null = null, code: string | null = null): Refusal {
  return openAi(400, message, 'invalid_request_error', param, code)
}

/** 400: the request is well formed, but asks for something that this server does not have. */
export function unsupported(param: string, message: string): Refusal {
  return invalid(message, param, 'unsupported_parameter')
}

/** 404 in the shape that OpenAI's clients turn into NotFoundError. */
export function modelNotFound(name: string): Refusal {
  return openAi(404, `The model '${name}' does not exist or is not loaded`, 'invalid_request_error', 'model', 'model_not_found')
}

export function routeNotFound(method: string, path: string): Refusal {
  return openAi(404, `There is no ${method} ${path}`, 'invalid_request_error', null, 'not_found')
}

export function wrongMethod(method: string, path: string, allow: string): Refusal {
  const refusal = openAi(405, `${path} answers ${allow}, not ${method}`, 'invalid_request_error', null, 'method_not_allowed')
  return { ...refusal, headers: { allow } }
}

export function bodyTooLarge(bodyBytesMax: number): Refusal {
  return openAi(413, `The body is larger than ${bodyBytesMax} bytes`, 'invalid_request_error', null, 'body_too_large')
}

/** 503 as llama.cpp's server words it until its model is in memory. */
export function loading(): Refusal {
  return { status: 503, body: { error: { message: 'Loading model', type: 'unavailable_error', code: 503 } } }
}

/** 400 as llama.cpp's server words it, with the two counts that callers read. Units: tokens. */
export function contextExceeded(promptTokens: number, contextTokens: number): Refusal {
  const message = `the request exceeds the available context size (${promptTokens} of ${contextTokens} tokens), shorten it`
  const error = { code: 400, message, type: 'exceed_context_size_error', n_prompt_tokens: promptTokens, n_ctx: contextTokens }
  return { status: 400, body: { error } }
}

export function queueFull(waitingMax: number): Refusal {
  const refusal = openAi(503, `All slots are busy and ${waitingMax} requests wait already`, 'overloaded_error', null, 'queue_full')
  return { ...refusal, headers: { 'retry-after': String(retryAfterS) } }
}

export function noFreeSlot(): Refusal {
  return { status: 503, body: { error: { message: 'no slot available', type: 'unavailable_error', code: 503 } } }
}

/** 503: the model was unloaded while this request was being answered. */
export function unloaded(name: string): Refusal {
  return openAi(503, `The model '${name}' was unloaded before the answer was complete`, 'server_error', null, 'model_unloaded')
}

/** Any status, as a fault. Units: seconds. */
export function injected(status: number, afterS: number | null = null): Refusal {
  const refusal = openAi(status, `Injected fault: status ${status}`, 'server_error', null, 'injected_fault')
  return afterS === null ? refusal : { ...refusal, headers: { 'retry-after': String(afterS) } }
}

export function internal(): Refusal {
  return openAi(500, 'The engine failed on this request', 'server_error', null, 'internal_error')
}

/** 404: this server gives every model the version that the repository index shows. */
export function versionNotFound(name: string, version: string): Refusal {
  return repositoryError(`model '${name}' has no version '${version}'`, 404)
}

/** Any refusal in the Open Inference Protocol's shape: its sentence alone. */
export function flattened(refusal: Refusal): Refusal {
  const { error } = refusal.body as { readonly error: string | { readonly message: string } }
  return { ...refusal, body: { error: typeof error === 'string' ? error : error.message } }
}

/** The Open Inference Protocol has its own, flat error shape. */
export function repositoryError(message: string, status = 400): Refusal {
  return { status, body: { error: message } }
}
