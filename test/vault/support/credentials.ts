import { generateKeyPairSync } from 'node:crypto';
import type { Database } from '../../../src/store/connection.ts';
import { newId } from '../../../src/store/ids.ts';
import { type CredentialKind, credentials } from '../../../src/store/schema.ts';
import { organizationPublicKey } from '../../../src/vault/keys.ts';
import { credentialBinding, sealCredential } from '../../../src/vault/seal.ts';
import type { Fixture } from '../../support/fixture.ts';
import { rootKey } from './egress.ts';

const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
/** One App key in both forms that GitHub's users have. */
export const appKey = {
  pkcs1: pair.privateKey.export({ type: 'pkcs1', format: 'pem' }) as string,
  pkcs8: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  publicKey: pair.publicKey,
};

/** Seals and stores a credential for the fixture's publication, or its installation. */
export async function storeCredential(
  database: Database,
  fixture: Fixture,
  kind: CredentialKind,
  secret: Record<string, string>,
  more: { detail?: Record<string, unknown>; installation?: boolean; rootKey?: Uint8Array } = {},
): Promise<string> {
  const { organizationId, publicationId, installationId } = fixture;
  const id = newId('cred');
  await database.insert(credentials).values({
    id,
    organizationId,
    publicationId,
    installationId: more.installation ? installationId : null,
    kind,
    displayName: `${kind} of ${publicationId}`,
    detail: more.detail ?? {},
    sealed: await sealCredential(
      organizationPublicKey(more.rootKey ?? rootKey, organizationId),
      credentialBinding(organizationId, id),
      secret,
    ),
  });
  return id;
}
