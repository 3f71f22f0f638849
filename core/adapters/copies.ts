// The slow copies, in KV: the last snapshot, signed, and a record per API key.

import { readSigned, writeSigned, type Signer } from '../../shared/signature.ts'
import { credentialKvKey } from '../../shared/wire/credential.ts'
import type { KeyId } from '../../shared/ids.ts'
import { readSnapshot, snapshotKvKey } from '../../shared/wire/snapshot.ts'
import type { Copies } from '../ports.ts'

/** `signer` gives null while the deployment has no secret to sign with. */
export function kvCopies(kv: KVNamespace, signer: () => Promise<Signer | null>): Copies {
  return {
    async putSnapshot(snapshot) {
      await kv.put(snapshotKvKey, JSON.stringify(await writeSigned(JSON.stringify(snapshot), await signer())))
    },
    async snapshotGeneration() {
      return readSnapshot(await readSigned(await kv.get(snapshotKvKey, 'json'), await signer()))?.generation ?? 0
    },
    putCredential: (credential) => kv.put(credentialKvKey(credential.id), JSON.stringify(credential)),
    dropCredential: (id) => kv.delete(credentialKvKey(id as KeyId)),
  }
}
