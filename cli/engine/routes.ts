// cli/engine/routes.ts — which route a method and a path name. Pure; the shell does what the route says.

export type Route =
  | { readonly kind: 'chat' | 'completions' | 'embeddings' }
  | { readonly kind: 'models' | 'health' | 'metrics' | 'slots' | 'props' | 'live' | 'ready' | 'index' }
  | { readonly kind: 'model' | 'model-ready' | 'load' | 'unload'; readonly name: string }
  | { readonly kind: 'not-found' }
  | { readonly kind: 'wrong-method'; readonly allow: string }

type Named = 'model' | 'model-ready' | 'load' | 'unload'
type Plain = Exclude<Route['kind'], Named | 'not-found' | 'wrong-method'>

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
  '/v2/health/live': ['GET', 'live'],
  '/v2/health/ready': ['GET', 'ready'],
  '/v2/repository/index': ['POST', 'index'],
}

const named: readonly (readonly [pattern: RegExp, method: string, kind: Named])[] = [
  [/^\/v1\/models\/(.+)$/, 'GET', 'model'],
  [/^\/v2\/models\/([^/]+)\/ready$/, 'GET', 'model-ready'],
  [/^\/v2\/repository\/models\/([^/]+)\/load$/, 'POST', 'load'],
  [/^\/v2\/repository\/models\/([^/]+)\/unload$/, 'POST', 'unload'],
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

export const isHealth = (route: Route): boolean => ['health', 'live', 'ready', 'model-ready'].includes(route.kind)
