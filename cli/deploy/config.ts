// The toml files as they are deployed: the committed ones with the account's resource ids put in. Pure, text to text.
// No id is ever committed, and nothing else in the files is touched.

export type Ids = { readonly databaseId: string; readonly namespaceId: string }

/** Puts the ids beside their names, and makes paths absolute, because the file is written elsewhere (`folder` is the original's). */
export function withIds(toml: string, folder: string, ids: Ids): string {
  return toml
    .replace(/^(database_name = .*)$/m, `$1\ndatabase_id = "${ids.databaseId}"`)
    .replace(/^(\[\[kv_namespaces\]\]\nbinding = "STATE")$/m, `$1\nid = "${ids.namespaceId}"`)
    .replace(/^main = "(.*)"$/m, (_, path: string) => `main = "${folder}/${path}"`)
    .replace(/^migrations_dir = "(.*)"$/m, (_, path: string) => `migrations_dir = "${folder}/${path}"`)
}

/**
 * Core without its binding to the edge's ledgers, for the very first deployment: each Worker binds to the other,
 * and Cloudflare refuses a binding to a Worker that does not exist yet.
 */
export function withoutLedger(toml: string): string {
  const cut = toml.replace(/^\[\[durable_objects\.bindings\]\]\nname = "LEDGER"\n(?:[a-z_]+ = .*\n)*/m, '')
  if (cut === toml) throw new Error('core/wrangler.toml has no LEDGER binding to leave out')
  return cut
}
