// cli/engine/routes.ts — which route a method and a path name. Pure; the shell does what the route says.

export type Route =
  | { readonly kind: 'chat' | 'completions' }
  | { readonly kind: 'embeddings' }
  | { readonly kind: 'models' | 'health' | 'metrics' | 'slots' | 'props' | 'live' | 'ready' | 'index' | 'server' }
  | { readonly kind: 'model' | 'load' | 'unload'; readonly name: string }
  | ({ readonly kind: 'metadata' | 'model-ready' } & ModelVersion)
  | ({ readonly kind: 'infer' } & ModelVersion)
  | ({ readonly kind: 'generate' | 'generate-stream' } & ModelVersion)
  | { readonly kind: 'not-found' }
  | { readonly kind: 'wrong-method'; readonly allow: string }

/** A model as the Open Inference Protocol's paths name it; the version may be left out. */
export type ModelVersion = { readonly name: string; readonly version: string | null }

type Named = 'model' | 'load' | 'unload'
type Versioned = 'metadata' | 'model-ready' | 'infer' | 'generate' | 'generate-stream'
type Plain = Exclude<Route['kind'], Named | Versioned | 'not-found' | 'wrong-method'>

const plain: Readonly<Record<string, readonly [method: string, kind: Plain]>> = {
  '/v1/chat/completions': ['POST', 'chat'],
  '/v1/completions': ['POST', 'completions'],
  '/v1/embeddings': ['POST', 'embeddings'],
  '/v1/models': ['GET', 'models'],
  '/health': ['GET', 'health'],
  '/v1/health': ['GET', 'health'],
  '/metrics': ['GET', 'metrics'],
  '/slots': ['GET', 'slots'],
  '/props': ['GET', 'props'],
  '/v2': ['GET', 'server'],
  '/v2/health/live': ['GET', 'live'],
  '/v2/health/ready': ['GET', 'ready'],
  '/v2/repository/index': ['POST', 'index'],
}

const named: readonly (readonly [pattern: RegExp, method: string, kind: Named])[] = [
  [/^\/v1\/models\/(.+)$/, 'GET', 'model'],
  [/^\/v2\/repository\/models\/([^/]+)\/load$/, 'POST', 'load'],
  [/^\/v2\/repository\/models\/([^/]+)\/unload$/, 'POST', 'unload'],
]

const model = '^/v2/models/([^/]+)(?:/versions/([^/]+))?'
const versioned: readonly (readonly [pattern: RegExp, method: string, kind: Versioned])[] = [
  [new RegExp(`${model}$`), 'GET', 'metadata'],
  [new RegExp(`${model}/ready$`), 'GET', 'model-ready'],
  [new RegExp(`${model}/infer$`), 'POST', 'infer'],
  [new RegExp(`${model}/generate$`), 'POST', 'generate'],
  [new RegExp(`${model}/generate_stream$`), 'POST', 'generate-stream'],
]

/** `path` without its query. A name is decoded but not checked: it may hold anything. */
export function routeOf(method: string, path: string): Route {
  const found = Object.hasOwn(plain, path) ? plain[path] : undefined
  if (found !== undefined) {
    const [allow, kind] = found
    return allow === method ? { kind } : { kind: 'wrong-method', allow }
  }
  for (const [pattern, allow, kind] of named) {
    const name = decoded(pattern.exec(path)?.[1])
    if (name === null) continue
    return allow === method ? { kind, name } : { kind: 'wrong-method', allow }
  }
  for (const [pattern, allow, kind] of versioned) {
    const match = pattern.exec(path)
    const [name, version] = [decoded(match?.[1]), decoded(match?.[2])]
    if (name === null || (version === null && match?.[2] !== undefined)) continue
    return allow === method ? { kind, name, version } : { kind: 'wrong-method', allow }
  }
  return { kind: 'not-found' }
}

function decoded(text: string | undefined): string | null {
  if (text === undefined) return null
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

/** Whether a path is the Open Inference Protocol's, which has its own shape of error. */
export const isOpenInference = (path: string): boolean => /^\/v2(?![^/?])/.test(path)

export const isHealth = (route: Route): boolean => ['health', 'live', 'ready', 'model-ready'].includes(route.kind)
