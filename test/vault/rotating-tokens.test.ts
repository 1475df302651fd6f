import { eq } from 'drizzle-orm';
import pino from 'pino';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../src/store/connection.ts';
import { adminNotices, credentials, publications } from '../../src/store/schema.ts';
import { CredentialStore } from '../../src/vault/credential-store.ts';
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
  const process = () => {
    const store = new CredentialStore(database, rootKey, () => now);
    const tokens = new RotatingTokens(
      store,
      post,
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
    const state = async () =>
      (await database.select().from(publications).where(eq(publications.id, fixture.publicationId)))[0];
    expect(await state()).toMatchObject({
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
    broken = undefined;
    expect(await get()).toMatch(/^access-/);
  });
});
