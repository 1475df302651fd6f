import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { newId } from '../../src/store/ids.ts';
import { credentialGrants, credentials, turns, vaults } from '../../src/store/schema.ts';
import { type Grant, isGranted } from '../../src/vault/egress/grant-reader.ts';
import { organizationPublicKey } from '../../src/vault/keys.ts';
import { credentialBinding, sealCredential } from '../../src/vault/seal.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { curl, type Door } from './support/client.ts';
import { rootKey, startTestEgress } from './support/egress.ts';
import { startUpstream } from './support/upstream.ts';

describe('a grant', () => {
  const grant = (more: Partial<Grant>): Grant => ({
    ...{ vaultId: 'v', credentialId: null, span: 'next_turn', turnId: null, expiresAt: null, createdAt: 100 },
    ...more,
  });
  const running = (startedAt: number, previousStartedAt: number | null = null, id = 'turn_a') => ({
    ...{ id, startedAt, previousStartedAt },
  });
  it('for the next turn holds in the first that starts after it, and in no other', () => {
    expect(isGranted(grant({}), undefined, 0)).toBe(false);
    expect(isGranted(grant({}), running(50), 0)).toBe(false);
    expect(isGranted(grant({}), running(200), 0)).toBe(true);
    expect(isGranted(grant({}), running(200, 50), 0)).toBe(true);
    expect(isGranted(grant({}), running(300, 200), 0)).toBe(false);
  });
  it('for the current turn holds in that one', () => {
    const current = grant({ span: 'current_turn', turnId: 'turn_a' });
    expect(isGranted(current, running(50), 0)).toBe(true);
    expect(isGranted(current, running(50, null, 'turn_b'), 0)).toBe(false);
    expect(isGranted(current, undefined, 0)).toBe(false);
  });
  it('until a time holds with and without a turn, up to then', () => {
    const until = grant({ span: 'until', expiresAt: 1_000 });
    expect(isGranted(until, undefined, 999)).toBe(true);
    expect(isGranted(until, running(1), 1_000)).toBe(false);
    expect(isGranted(grant({ span: 'until' }), undefined, 0)).toBe(false);
  });
});

describe('what a session is lent', () => {
  let now = Date.now();
  const host = 'api.example.com';
  const vaultId = newId('vlt');
  const set = async () => {
    const database = await createTestDatabase();
    const upstream = await startUpstream();
    const fixture = await createFixture(database.database, { policy: { allowed_hosts: [host] } });
    const upstreams = [{ host, pathPrefix: '/', target: `${upstream.origin}/`, scope: 'all' as const }];
    const world = await startTestEgress(database, { upstreams }, { now: () => now });
    return { database: database.database, upstream, fixture, world, door: await world.open(fixture) };
  };
  let t: Awaited<ReturnType<typeof set>>;
  let door: Door;

  beforeAll(async () => {
    t = await set();
    door = t.door;
    await t.database
      .insert(vaults)
      .values({ id: vaultId, organizationId: t.fixture.organizationId, displayName: 'v' });
  });
  afterAll(() => t.upstream.close());

  const store = async (path: string) => {
    const { organizationId } = t.fixture;
    const id = newId('cred');
    await t.database.insert(credentials).values({
      ...{ id, organizationId, vaultId, kind: 'static_bearer', displayName: path },
      detail: {
        auth: { type: 'static_bearer' },
        metadata: {},
        rule: { host, path_prefix: path, methods: null },
      },
      sealed: await sealCredential(
        organizationPublicKey(rootKey, organizationId),
        credentialBinding(organizationId, id),
        { token: `token-of-${path.slice(1)}` },
      ),
    });
    return id;
  };
  const grant = async (values: Partial<typeof credentialGrants.$inferInsert>) => {
    const { organizationId, sessionId } = t.fixture;
    const id = newId('grant');
    await t.database
      .insert(credentialGrants)
      .values({ ...{ id, organizationId, sessionId, span: 'until' }, ...values });
    now += 1_001;
    return id;
  };
  const startTurn = async () => {
    const { organizationId, sessionId } = t.fixture;
    const id = newId('turn');
    await t.database.insert(turns).values({ id, organizationId, sessionId, fence: 1 });
    t.world.egress.setTurn(sessionId, id);
    return id;
  };
  const endTurn = async (id: string) => {
    await t.database.update(turns).set({ state: 'completed' }).where(eq(turns.id, id));
    t.world.egress.setTurn(t.fixture.sessionId, null);
  };
  const authorization = async (path: string) => {
    await curl(door, `https://${host}${path}`);
    return t.upstream.seen.at(-1)?.headers.authorization;
  };

  test('until a time is put on until then, to the millisecond, and not after', async () => {
    const credentialId = await store('/until');
    await store('/other');
    expect(await authorization('/until')).toBeUndefined();
    const expiresAt = new Date(now + 61_000);
    await grant({ credentialId, expiresAt });
    expect(await authorization('/until')).toBe('Bearer token-of-until');
    expect(await authorization('/other')).toBeUndefined();
    now = expiresAt.getTime() - 100;
    expect(await authorization('/until')).toBe('Bearer token-of-until');
    // The policy is remembered for a second; the end is honoured all the same.
    now = expiresAt.getTime();
    expect(await authorization('/until')).toBeUndefined();
  });

  test('for the next turn is put on in that turn only, and a whole vault can be lent', async () => {
    await grant({ vaultId, span: 'next_turn' });
    expect(await authorization('/other')).toBeUndefined();
    const first = await startTurn();
    expect(await authorization('/other')).toBe('Bearer token-of-other');
    await endTurn(first);
    expect(await authorization('/other')).toBeUndefined();
    const second = await startTurn();
    expect(await authorization('/other')).toBeUndefined();
    await endTurn(second);
  });

  test('taken back, it is not put on any more within a second', async () => {
    const turnId = await startTurn();
    const id = await grant({ vaultId, span: 'current_turn', turnId });
    expect(await authorization('/other')).toBe('Bearer token-of-other');
    await t.database.delete(credentialGrants).where(eq(credentialGrants.id, id));
    now += 1_001;
    expect(await authorization('/other')).toBeUndefined();
    await endTurn(turnId);
  });

  test("another organization's credential is not lent, whatever a row says", async () => {
    const stranger = await createFixture(t.database);
    const [foreign] = [newId('vlt')];
    await t.database
      .insert(vaults)
      .values({ id: foreign, organizationId: stranger.organizationId, displayName: 'v' });
    await expect(grant({ vaultId: foreign, span: 'next_turn' })).rejects.toThrow();
    await expect(grant({ vaultId: null, credentialId: null })).rejects.toThrow();
  });
});
