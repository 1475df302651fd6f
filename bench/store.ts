import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGatewaySecrets, webhookSecretBinding } from '../src/gateway/secrets.ts';
import { connect } from '../src/store/connection.ts';
import { startEmbeddedPostgres } from '../src/store/embedded.ts';
import { openHome } from '../src/store/home.ts';
import { newId } from '../src/store/ids.ts';
import { migrate } from '../src/store/migrate.ts';
import { agents, organizations, publications, webhookSecrets } from '../src/store/schema.ts';
import { deriveStateKey, deriveWebhookKey } from '../src/vault/keys.ts';

export interface BenchStore {
  signingSecret: string;
  forGateway: { databaseUrl: string; rootKey: string; publicationId: string };
  /** Takes the waiting jobs away, as workers would. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

/** A durable Postgres of its own (fsync and synchronous commit on, as in production) with one Slack publication. */
export async function openBenchStore(): Promise<BenchStore> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-bench-'));
  const postgres = await startEmbeddedPostgres(openHome(folder));
  await migrate(postgres.url);
  const database = connect({ url: postgres.url, maxConnections: 2 });
  const rootKey = randomBytes(32);
  const signingSecret = randomBytes(16).toString('hex');
  const organizationId = newId('org');
  const agentId = newId('agent');
  const publicationId = newId('pub');
  const id = newId('secret');
  const sealed = await createGatewaySecrets(
    deriveWebhookKey(rootKey),
    deriveStateKey(rootKey),
  ).sealWebhookSecret(webhookSecretBinding(organizationId, id), signingSecret);
  await database.insert(organizations).values({ id: organizationId, name: 'bench' });
  await database.insert(agents).values({ id: agentId, organizationId });
  await database
    .insert(publications)
    .values({ id: publicationId, organizationId, agentId, provider: 'slack', state: 'live' });
  await database.insert(webhookSecrets).values({ id, organizationId, publicationId, sealed });
  return {
    signingSecret,
    forGateway: { databaseUrl: postgres.url, rootKey: rootKey.toString('base64url'), publicationId },
    async settle() {
      await database.execute('delete from graphile_worker._private_jobs');
    },
    async close() {
      await database.$client.end();
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
