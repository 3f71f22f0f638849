// The slow copies, in KV: the last snapshot, and a record per API key.

import { credentialKvKey } from '../../shared/wire/credential.ts'
import type { KeyId } from '../../shared/ids.ts'
import { readSnapshot, snapshotKvKey } from '../../shared/wire/snapshot.ts'
import type { Copies } from '../ports.ts'

export function kvCopies(kv: KVNamespace): Copies {
  return {
    putSnapshot: (snapshot) => kv.put(snapshotKvKey, JSON.stringify(snapshot)),
    async snapshotGeneration() {
      return readSnapshot(await kv.get(snapshotKvKey, 'json'))?.generation ?? 0
    },
    putCredential: (credential) => kv.put(credentialKvKey(credential.id), JSON.stringify(credential)),
    dropCredential: (id) => kv.delete(credentialKvKey(id as KeyId)),
  }
}
