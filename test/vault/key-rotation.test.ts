import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eq, inArray, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { createGatewaySecrets } from '../../src/gateway/secrets.ts';
import { openHome } from '../../src/store/home.ts';
import { newId } from '../../src/store/ids.ts';
import {
  credentials,
  notificationUrls,
  organizations,
  vaults,
  webhookSecrets,
} from '../../src/store/schema.ts';
import { type RunningEgress, startEgress } from '../../src/vault/egress/control.ts';
import { readKeyRotation } from '../../src/vault/key-rotation.ts';
import { deriveStateKey, deriveWebhookKey, organizationPublicKey } from '../../src/vault/keys.ts';
import {
  loadPreviousRootKey,
  loadRootKey,
  previousRootKeyFile,
  rootKeyFile,
  rotateRootKey,
} from '../../src/vault/root-key.ts';
import {
  credentialBinding,
  notificationBinding,
  openCredential,
  openWebhookSecret,
  sealCredential,
  sealedKeyId,
  sealWebhookSecret,
  webhookSecretBinding,
} from '../../src/vault/seal.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { rootKey as old, silent, startTestEgress } from './support/egress.ts';

const entry = fileURLToPath(new URL('./support/egress-entry.ts', import.meta.url));
const next = Buffer.alloc(32, 9);
const lost = Buffer.alloc(32, 1);
const rows = 400;

describe('while the root key is replaced', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-rotation-'));
  const set = async () => {
    const test = await createTestDatabase();
    const fixture = await createFixture(test.database);
    return { ...test, fixture, organizationId: fixture.organizationId };
  };
  let t: Awaited<ReturnType<typeof set>>;
  let control: RunningEgress;
  const ids: string[] = [];
  const unreadable = newId('cred');
  const hook = newId('secret');
  const url = newId('nurl');
  const binding = (id: string) => credentialBinding(t.organizationId, id);
  const current = () => ({
    credentialKid: String(organizationPublicKey(next, t.organizationId).kid),
    webhookKid: deriveWebhookKey(next).kid,
  });
  const status = () => readKeyRotation(t.database, t.organizationId, current());

  beforeAll(async () => {
    t = await set();
    const { organizationId } = t;
    const vaultId = newId('vlt');
    await t.database.insert(vaults).values({ id: vaultId, organizationId, displayName: 'v' });
    const sealed = (id: string, root: Uint8Array) =>
      sealCredential(organizationPublicKey(root, organizationId), binding(id), { token: `token-of-${id}` });
    const row = async (id: string, root: Uint8Array) => ({
      ...{ id, organizationId, vaultId, kind: 'static_bearer' as const, displayName: 'c' },
      sealed: await sealed(id, root),
    });
    for (let i = 0; i < rows; i++) ids.push(newId('cred'));
    const values = await Promise.all(ids.map((id) => row(id, old)));
    await t.database.insert(credentials).values([...values, await row(unreadable, lost)]);
    await t.database.insert(webhookSecrets).values({
      ...{ id: hook, organizationId, publicationId: t.fixture.publicationId },
      sealed: await sealWebhookSecret(
        deriveWebhookKey(old),
        webhookSecretBinding(organizationId, hook),
        'signing',
      ),
    });
    await t.database.insert(notificationUrls).values({
      ...{ id: url, organizationId, name: 'ops', host: 'hooks.example.com' },
      sealed: await sealCredential(
        organizationPublicKey(old, organizationId),
        notificationBinding(organizationId, url),
        { url: 'https://hooks.example.com/1' },
      ),
    });
    await t.database
      .update(organizations)
      .set({ sealingPublicKey: organizationPublicKey(old, organizationId) as Record<string, unknown> })
      .where(eq(organizations.id, organizationId));
  });
  afterAll(async () => {
    await control?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('both open everything before anything is done', async () => {
    const [id = ''] = ids;
    const [row] = await t.database.select().from(credentials).where(eq(credentials.id, id));
    expect(await openCredential([next, old], binding(id), row?.sealed ?? '')).toEqual({
      token: `token-of-${id}`,
    });
    await expect(openCredential(next, binding(id), row?.sealed ?? '')).rejects.toMatchObject({
      code: 'unknown_key',
    });
    const [stored] = await t.database.select().from(webhookSecrets).where(eq(webhookSecrets.id, hook));
    const gateway = createGatewaySecrets(deriveWebhookKey(next), deriveStateKey(next), [
      deriveWebhookKey(old),
    ]);
    expect(
      await gateway.openWebhookSecret(webhookSecretBinding(t.organizationId, hook), stored?.sealed ?? ''),
    ).toBe('signing');
    expect((await status()).waiting).toHaveLength(rows + 3);
  });

  test('killed in the middle it goes on where it was, loses no write, and names what opens with neither', async () => {
    control = await startEgress({
      start: {
        databaseUrl: t.url,
        rootKey: next.toString('base64url'),
        previousRootKey: old.toString('base64url'),
        upstreams: [],
        modelCredentials: {},
        platformSocket: join(folder, 'platform.sock'),
        internalSocket: join(folder, 'internal.sock'),
      },
      logger: silent,
      entry,
    });
    const done = async () => rows + 3 - (await status()).waiting.length;
    await expect.poll(done, { interval: 2, timeout: 10_000 }).toBeGreaterThan(5);
    const killed = control.pid;
    process.kill(killed ?? 0, 'SIGKILL');
    const middle = await done();
    expect(middle).toBeLessThan(rows);
    // Somebody enters another value meanwhile, by the key that the gateway finds.
    const [organization] = await t.database
      .select()
      .from(organizations)
      .where(eq(organizations.id, t.organizationId));
    expect(organization?.sealingPublicKey).toMatchObject({ kid: current().credentialKid });
    const entered = ids.slice(-20);
    await Promise.all(
      entered.map(async (id) =>
        t.database
          .update(credentials)
          .set({
            version: sql`${credentials.version} + 1`,
            sealed: await sealCredential(organization?.sealingPublicKey ?? {}, binding(id), {
              token: `entered-${id}`,
            }),
          })
          .where(eq(credentials.id, id)),
      ),
    );
    await expect
      .poll(async () => (await status()).waiting, { interval: 50, timeout: 20_000 })
      .toEqual([unreadable]);
    expect(control.pid).not.toBe(killed);
    const all = await t.database.select().from(credentials).where(inArray(credentials.id, ids));
    expect(all).toHaveLength(rows);
    for (const { id, sealed, version } of all) {
      const isEntered = entered.includes(id);
      expect(await openCredential(next, binding(id), sealed)).toEqual({
        token: isEntered ? `entered-${id}` : `token-of-${id}`,
      });
      // Its value is the same, so that whoever holds it need not read it again.
      expect(version).toBe(isEntered ? 2 : 1);
    }
    const [stored] = await t.database.select().from(webhookSecrets).where(eq(webhookSecrets.id, hook));
    expect(
      await openWebhookSecret(
        deriveWebhookKey(next),
        webhookSecretBinding(t.organizationId, hook),
        stored?.sealed ?? '',
      ),
    ).toBe('signing');
    const [address] = await t.database.select().from(notificationUrls).where(eq(notificationUrls.id, url));
    expect(
      await openCredential(next, notificationBinding(t.organizationId, url), address?.sealed ?? ''),
    ).toEqual({ url: 'https://hooks.example.com/1' });
    const [kept] = await t.database.select().from(credentials).where(eq(credentials.id, unreadable));
    expect(sealedKeyId(kept?.sealed ?? '')).toBe(organizationPublicKey(lost, t.organizationId).kid);
    const { message } = await control.health();
    expect(message).toContain(`open with neither key: ${unreadable}.`);
  });

  test('with the old key removed all goes on, and with another key nothing starts', async () => {
    const after = await startTestEgress(t, { rootKey: next.toString('base64url') });
    await after.egress.publishSealingKeys();
    const foreign = await startTestEgress(t, { rootKey: lost.toString('base64url') });
    await expect(foreign.egress.sealingKey(t.organizationId)).rejects.toThrow('another root key');
    const [organization] = await t.database
      .select()
      .from(organizations)
      .where(eq(organizations.id, t.organizationId));
    expect(organization?.sealingPublicKey).toMatchObject({ kid: current().credentialKid });
  });
});

it('leaves out no table that holds what is sealed', async () => {
  const { database } = await createTestDatabase();
  const found = await database.execute<{ table_name: string }>(
    sql`select table_name from information_schema.columns where table_schema = 'public' and column_name = 'sealed'`,
  );
  expect(found.rows.map((row) => row.table_name).sort()).toEqual([
    'credentials',
    'notification_urls',
    'webhook_secrets',
  ]);
});

describe('the root key of a home', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-home-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const none = { rootKey: undefined, previousRootKey: undefined };

  it('is replaced once at a time, and the one before is kept', () => {
    const home = openHome(folder);
    expect(() => rotateRootKey(home)).toThrow('first start');
    const first = Buffer.from(loadRootKey(home, undefined, false));
    expect(loadPreviousRootKey(home, none)).toBeUndefined();
    rotateRootKey(home);
    const second = Buffer.from(loadRootKey(home, undefined, true));
    expect(second.equals(first)).toBe(false);
    expect(Buffer.from(loadPreviousRootKey(home, none) ?? []).equals(first)).toBe(true);
    expect(statSync(rootKeyFile(home)).mode & 0o777).toBe(0o600);
    expect(statSync(previousRootKeyFile(home)).mode & 0o777).toBe(0o600);
    expect(() => rotateRootKey(home)).toThrow(previousRootKeyFile(home));
    rmSync(previousRootKeyFile(home));
    rotateRootKey(home);
    expect(readFileSync(previousRootKeyFile(home), 'utf8').trim()).toBe(second.toString('base64url'));
    expect(existsSync(`${rootKeyFile(home)}.next`)).toBe(false);
  });

  it('gives way to the operator’s own', () => {
    const home = openHome(folder);
    const configured = { rootKey: old, previousRootKey: next };
    expect(loadPreviousRootKey(home, configured)).toBe(next);
    expect(loadPreviousRootKey(home, { ...configured, previousRootKey: undefined })).toBeUndefined();
  });
});
