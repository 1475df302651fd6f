import { eq } from 'drizzle-orm';
import { authInput, splitAuth } from '../../../src/gateway/rest/credential-input.ts';
import type { Database } from '../../../src/store/connection.ts';
import { newId } from '../../../src/store/ids.ts';
import { credentials, sessions, vaults } from '../../../src/store/schema.ts';
import { organizationPublicKey } from '../../../src/vault/keys.ts';
import { credentialBinding, sealCredential } from '../../../src/vault/seal.ts';
import type { Fixture } from '../../support/fixture.ts';
import { rootKey } from './egress.ts';

/** Gives the fixture's session a vault with one bearer token, for a host and what is below a path. */
export function storeVaultCredential(
  database: Database,
  fixture: Fixture,
  host: string,
  token: string,
  path = '/',
): Promise<void> {
  const match = { host, path_prefix: path, methods: null };
  return storeVaultAuth(database, fixture, { type: 'static_bearer', token, match }, 'token');
}

/** Gives the fixture's session a vault with one credential, as the API takes it; in the place of the vaults that it had. */
export async function storeVaultAuth(
  database: Database,
  { organizationId, sessionId }: Fixture,
  auth: unknown,
  displayName: string,
): Promise<void> {
  const vaultId = newId('vlt');
  const id = newId('cred');
  const split = splitAuth(authInput.parse(auth));
  await database.insert(vaults).values({ id: vaultId, organizationId, displayName: 'Team' });
  await database
    .update(sessions)
    .set({ vaultIds: [vaultId] })
    .where(eq(sessions.id, sessionId));
  await database.insert(credentials).values({
    ...{ id, organizationId, vaultId, displayName, kind: split.kind },
    detail: { ...split.detail, metadata: {} },
    sealed: await sealCredential(
      organizationPublicKey(rootKey, organizationId),
      credentialBinding(organizationId, id),
      split.secret,
    ),
  });
}
