import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eq } from 'drizzle-orm';
import { connect } from '../../src/store/connection.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded.ts';
import { openHome } from '../../src/store/home.ts';
import { newId } from '../../src/store/ids.ts';
import { migrate } from '../../src/store/migrate.ts';
import { credentials, egressRequests, sessions, vaults } from '../../src/store/schema.ts';
import { organizationPublicKey } from '../../src/vault/keys.ts';
import { credentialBinding, sealCredential } from '../../src/vault/seal.ts';
import { createFixture } from '../../test/support/fixture.ts';
import { nodeHost, quickHost } from './upstream.ts';

export interface EgressDatabase {
  url: string;
  pid: number;
  rootKey: string;
  sessions: { organizationId: string; sessionId: string }[];
  /** Rows of requests that were recorded. */
  recorded(): Promise<number>;
  close(): Promise<void>;
}

/**
 * A durable Postgres of its own with sessions whose vault holds the upstream's token: as many of one organization as
 * are wanted.
 */
export async function openEgressDatabase(token: string, count: number): Promise<EgressDatabase> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-bench-'));
  const postgres = await startEmbeddedPostgres(openHome(folder));
  await migrate(postgres.url);
  const database = connect({ url: postgres.url, maxConnections: 2 });
  const rootKey = randomBytes(32);
  const fixture = await createFixture(database, { policy: { allowed_hosts: ['*.bench.example'] } });
  const { organizationId } = fixture;
  const vaultId = newId('vlt');
  await database.insert(vaults).values({ id: vaultId, organizationId, displayName: 'bench' });
  for (const host of [quickHost, nodeHost]) {
    const id = newId('cred');
    const rule = { host, path_prefix: '/', methods: null };
    await database.insert(credentials).values({
      ...{ id, organizationId, vaultId, displayName: host, kind: 'static_bearer' as const },
      detail: { auth: {}, metadata: {}, rule },
      sealed: await sealCredential(
        organizationPublicKey(rootKey, organizationId),
        credentialBinding(organizationId, id),
        { token },
      ),
    });
  }
  await database
    .update(sessions)
    .set({ vaultIds: [vaultId] })
    .where(eq(sessions.id, fixture.sessionId));
  const [row] = await database.select().from(sessions).where(eq(sessions.id, fixture.sessionId));
  if (!row) throw new Error('The session of the bench was not stored.');
  const more = Array.from({ length: count - 1 }, () => ({ ...row, id: newId('sesn') }));
  if (more.length > 0) await database.insert(sessions).values(more);
  return {
    url: postgres.url,
    pid: postgres.pid,
    rootKey: rootKey.toString('base64url'),
    sessions: [row, ...more].map(({ id }) => ({ organizationId, sessionId: id })),
    recorded: () => database.$count(egressRequests),
    close: async () => {
      await database.$client.end();
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
