// A model repository that speaks as Triton does in explicit mode: a load is whole when it is answered, an unload goes on in the background,
// what was never loaded has no state, and every refusal is a 400.

export type RepositoryReply = { readonly status: number; readonly body: string }

/** Answers by method and path; `known` are the names that can be loaded. An unload takes as many looks at the index as told. */
export function repositoryServer(known: readonly string[], looksPerUnload: number) {
  const states = new Map<string, { state: 'READY' | 'UNLOADING' | 'UNAVAILABLE'; left: number }>()
  const calls: string[] = []

  const index = (): RepositoryReply => {
    const rows = known.map((name) => {
      const held = states.get(name)
      if (!held) return { name }
      if (held.state === 'UNLOADING' && held.left-- <= 0) held.state = 'UNAVAILABLE'
      return { name, version: '1', state: held.state, reason: held.state === 'UNAVAILABLE' ? 'unloaded' : '' }
    })
    return { status: 200, body: JSON.stringify(rows) }
  }

  function reply(method: string, path: string): RepositoryReply {
    calls.push(`${method} ${path}`)
    if (method !== 'POST') return { status: 405, body: '' }
    if (path === '/v2/repository/index') return index()
    const [, encoded = '', verb] = /^\/v2\/repository\/models\/([^/]+)\/(load|unload)$/.exec(path) ?? []
    const name = decodeURIComponent(encoded)
    if (verb === undefined) return { status: 400, body: '{"error":"unknown request"}' }
    if (!known.includes(name)) {
      return { status: 400, body: JSON.stringify({ error: `failed to ${verb} '${name}', failed to poll from model repository` }) }
    }
    states.set(name, verb === 'load' ? { state: 'READY', left: 0 } : { state: 'UNLOADING', left: looksPerUnload })
    return { status: 200, body: '' }
  }
  return { reply, calls }
}
