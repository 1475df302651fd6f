import { eq } from 'drizzle-orm';
import pino from 'pino';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Database } from '../../src/store/connection.ts';
import { adminNotices, credentials, publications } from '../../src/store/schema.ts';
import { CredentialStore } from '../../src/vault/credential-store.ts';
import { RefreshClaims } from '../../src/vault/refresh-claims.ts';
import { markRefused } from '../../src/vault/refused-refresh.ts';
import { type PostForm, RotatingTokens } from '../../src/vault/rotating-tokens.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { storeCredential } from './support/credentials.ts';
import { rootKey } from './support/egress.ts';

const silent = pino({ level: 'silent' });

describe('tokens that end', () => {
  let database: Database;
  let fixture: Fixture;
  let id: string;
  let now = Date.now();
  let asked: Record<string, string>[] = [];
  /** The provider: a refresh token works once. */
  let valid = new Set<string>();
  let broken: number | undefined;

  const post: PostForm = async (_credential, host, path, form) => {
    expect([host, path]).toEqual(['api.linear.app', '/oauth/token']);
    asked.push(form);
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (broken) return { status: broken, body: undefined };
    if (!valid.delete(form.refresh_token ?? '')) return { status: 400, body: { error: 'invalid_grant' } };
    const n = asked.length;
    valid.add(`refresh-${n}`);
    return {
      status: 200,
      body: { access_token: `access-${n}`, refresh_token: `refresh-${n}`, expires_in: 86_399 },
    };
  };
  const process = (ask = post, claims = new RefreshClaims(database, () => now)) => {
    const store = new CredentialStore(database, rootKey, () => now);
    const tokens = new RotatingTokens(
      store,
      claims,
      ask,
      () => now,
      markRefused(database, silent, () => now),
    );
    return async () =>
      tokens.get(await store.find(fixture.organizationId, fixture.installationId), 'linear_app');
  };

  beforeAll(async () => {
    database = (await createTestDatabase()).database;
  });
  beforeEach(async () => {
    fixture = await createFixture(database, { provider: 'linear' });
    asked = [];
    valid = new Set(['refresh-0']);
    broken = undefined;
    await storeCredential(database, fixture, 'linear_client', {
      client_id: 'client',
      client_secret: 'client-secret',
    });
    id = await storeCredential(
      database,
      fixture,
      'linear_app',
      { access_token: 'access-0', refresh_token: 'refresh-0' },
      { installation: true, detail: { expires_at: new Date(now + 3_600_000).toISOString() } },
    );
  });

  const oauth = async () => {
    const [row] = await database.select().from(credentials).where(eq(credentials.id, id));
    return row?.detail.oauth ?? {};
  };
  const publication = async () =>
    (await database.select().from(publications).where(eq(publications.id, fixture.publicationId)))[0];

  it('are used as they are until shortly before their end', async () => {
    expect(await process()()).toBe('access-0');
    expect(asked).toEqual([]);
  });

  it('are refreshed once for all who wait, with the client secret, and kept', async () => {
    now += 3_500_000;
    const get = process();
    expect(new Set(await Promise.all([get(), get(), get()]))).toEqual(new Set(['access-1']));
    expect(asked).toEqual([
      {
        grant_type: 'refresh_token',
        refresh_token: 'refresh-0',
        client_id: 'client',
        client_secret: 'client-secret',
      },
    ]);
    expect(await get()).toBe('access-1');
    expect(await process()()).toBe('access-1');
    const [row] = await database.select().from(credentials).where(eq(credentials.id, id));
    expect(row).toMatchObject({ version: 2 });
    expect(JSON.stringify(row)).not.toContain('access-1');
    now += 86_399_000;
    expect(await get()).toBe('access-2');
    expect(asked).toHaveLength(2);
  });

  it('of a second process are those that the first one stored', async () => {
    now += 3_500_000;
    const [first, second] = [process(), process()];
    expect(await first()).toBe('access-1');
    expect(await second()).toBe('access-1');
    expect(asked).toHaveLength(1);
  });

  it('say that the app has to be installed again when the provider refuses', async () => {
    valid.clear();
    now += 3_500_000;
    await expect(process()()).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('Install the app again'),
    });
  });

  it('mark the publication once the provider refuses, tell its admins, and do not ask with every request', async () => {
    valid.clear();
    now += 3_500_000;
    const get = process();
    await Promise.allSettled([get(), get()]);
    await expect(get()).rejects.toMatchObject({ code: 'refused' });
    expect(asked).toHaveLength(1);
    expect(await publication()).toMatchObject({
      state: 'needs_reauth',
      stateReason: expect.stringContaining('refused to refresh the token (invalid_grant)'),
    });
    const notices = await database
      .select()
      .from(adminNotices)
      .where(eq(adminNotices.publicationId, fixture.publicationId));
    expect(notices).toEqual([
      expect.objectContaining({ kind: 'publication.needs_reauth', resolvedAt: null }),
    ]);
    now += 61_000;
    await expect(get()).rejects.toMatchObject({ code: 'refused' });
    expect(asked).toHaveLength(2);
  });

  it('are not taken for refused when another process was faster', async () => {
    now += 3_500_000;
    const [first, second] = [process(), process()];
    const answers = await Promise.all([first(), second()]);
    expect(new Set(answers).size).toBe(1);
    const [row] = await database
      .select()
      .from(publications)
      .where(eq(publications.id, fixture.publicationId));
    expect(row?.state).toBe('live');
  });

  it('are asked for again later when the provider is away', async () => {
    broken = 503;
    now += 3_500_000;
    const get = process();
    await expect(get()).rejects.toMatchObject({ code: 'unavailable' });
    expect(await oauth()).toEqual({});
    broken = undefined;
    expect(await get()).toMatch(/^access-/);
    expect(await oauth()).toEqual({});
  });

  it('are asked for again later when the provider cannot be reached', async () => {
    now += 3_500_000;
    let isAway = true;
    const get = process((...call) => (isAway ? Promise.reject(new Error('away')) : post(...call)));
    await expect(get()).rejects.toThrow('away');
    expect(await oauth()).toEqual({});
    isAway = false;
    expect(await get()).toBe('access-1');
  });

  it('are not asked for again after a process died over it: the publication says so, and what to do', async () => {
    now += 3_500_000;
    const begun = Promise.withResolvers<void>();
    // The provider has rotated, and nobody hears of it.
    const dead = process(async (...call) => {
      await post(...call);
      begun.resolve();
      return new Promise(() => {});
    });
    void dead();
    await begun.promise;
    expect(await oauth()).toMatchObject({
      refreshing: { by: expect.any(String), at: new Date(now).toISOString() },
    });
    now += 89_000;
    const get = process();
    // It may only be slow: the old one still lives.
    expect(await get()).toBe('access-0');
    expect((await publication())?.state).toBe('live');
    now += 2_000;
    const again = expect.stringMatching(
      /^Linear: A process died on .* not sent again\. Install the app again\.$/,
    );
    for (let i = 0; i < 3; i++)
      await expect(get()).rejects.toMatchObject({ code: 'refused', message: again });
    expect(await publication()).toMatchObject({ state: 'needs_reauth', stateReason: again });
    expect(await oauth()).toEqual({ needsReauth: 'refresh_unknown', refused: expect.any(String) });
    const notices = await database
      .select()
      .from(adminNotices)
      .where(eq(adminNotices.publicationId, fixture.publicationId));
    expect(notices).toHaveLength(1);
    now += 3_600_000;
    await expect(process()()).rejects.toMatchObject({ code: 'refused', message: again });
    expect(asked).toHaveLength(1);
    // Installed again, it has another credential.
    await storeCredential(
      database,
      fixture,
      'linear_app',
      { access_token: 'access-anew', refresh_token: 'refresh-anew' },
      { detail: { expires_at: new Date(now + 86_399_000).toISOString() } },
    );
    await database.delete(credentials).where(eq(credentials.id, id));
    expect(await process()()).toBe('access-anew');
  });

  it('are not waited for after a process left a mark by a clock that was set back since', async () => {
    now += 3_700_000;
    const refreshing = { by: 'gone', at: new Date(now + 24 * 3_600_000).toISOString() };
    const detail = { expires_at: new Date(now).toISOString(), oauth: { refreshing } };
    await database.update(credentials).set({ detail }).where(eq(credentials.id, id));
    await expect(process()()).rejects.toMatchObject({ code: 'refused' });
    expect(asked).toHaveLength(0);
  });

  it('are waited for while another process asks, once the old one is of no use', async () => {
    now += 3_700_000;
    const begun = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const first = process(async (...call) => {
      begun.resolve();
      await go.promise;
      return post(...call);
    })();
    await begun.promise;
    const second = process()();
    setTimeout(() => go.resolve(), 300);
    expect(await Promise.all([first, second])).toEqual(['access-1', 'access-1']);
    expect(asked).toHaveLength(1);
  });

  it('are stored once the database is back, which may take it longer than anybody waits', async () => {
    now += 3_500_000;
    let isAway = false;
    const restarting = Object.create(database, {
      transaction: {
        value: (...input: Parameters<Database['transaction']>) =>
          isAway ? Promise.reject(new Error('the database is away')) : database.transaction(...input),
      },
    }) as Database;
    const get = process(
      async (...call) => {
        isAway = true;
        return post(...call);
      },
      new RefreshClaims(restarting, () => now),
    );
    expect(await get()).toBe('access-1');
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(await oauth()).toHaveProperty('refreshing');
    isAway = false;
    await vi.waitFor(async () => expect(await oauth()).toEqual({}), 10_000);
    now += 91_000;
    expect(await process()()).toBe('access-1');
    expect(asked).toHaveLength(1);
  });

  it('are kept though their end is beyond any date', async () => {
    now += 3_500_000;
    const ask: PostForm = async (...call) => {
      const { status, body } = await post(...call);
      return { status, body: { ...(body as object), expires_in: 2 ** 63 } };
    };
    expect(await process(ask)()).toBe('access-1');
    expect(await process()()).toBe('access-1');
    expect(asked).toHaveLength(1);
  });

  it('are used though they could not be stored', async () => {
    now += 3_500_000;
    const claims = new RefreshClaims(database, () => now);
    claims.settle = () => Promise.reject(new Error('the database is away'));
    const get = process(post, claims);
    expect(await get()).toBe('access-1');
    expect(await get()).toBe('access-1');
    expect(asked).toHaveLength(1);
  });
});
