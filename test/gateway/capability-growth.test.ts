import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { requiredScopes } from '../../src/capabilities/scopes.ts';
import { scopesToInstall } from '../../src/gateway/publish/capabilities.ts';
import { adminNotices, publications } from '../../src/store/schema.ts';
import { type RestSetUp, setUpRest } from './rest-support.ts';
import { addPublication } from './support.ts';

interface Shown {
  capabilities: Record<string, string>;
  pending_capabilities: {
    difference: string;
    capabilities: { name: string; words: string; from: string; to: string }[];
    scopes: string[];
  } | null;
  missing_scopes: string[];
}

describe('a publication whose capabilities grow', () => {
  let t: RestSetUp;
  beforeAll(async () => {
    t = await setUpRest();
    return () => t.gateway.close();
  });

  const made = async (state: 'live' | 'credentials_filled' | 'needs_reauth' | 'suspended' = 'live') => {
    const { id } = await addPublication(t.gateway, 'slack', state);
    return `/v1/publications/${id}`;
  };
  const post = async (path: string, body: unknown = {}) => {
    const answer = await t.api('POST', path, body);
    return { status: answer.status, body: answer.body as unknown as Shown, error: answer.body.error };
  };
  const set = (path: string, capabilities: Record<string, string>) => post(path, { capabilities });
  const open = async (path: string) =>
    (
      await t.database
        .select()
        .from(adminNotices)
        .where(eq(adminNotices.publicationId, path.split('/').at(-1) ?? ''))
    ).filter(({ resolvedAt }) => resolvedAt === null);

  it.each(['live', 'needs_reauth', 'suspended'] as const)(
    'keeps what it may do until an admin approves exactly this difference (%s)',
    async (state) => {
      const path = await made(state);
      const { body } = await set(path, {
        'search.read': 'ask',
        'message.write': 'on',
        'reaction.add': 'off',
      });
      // What shrinks is in force at once.
      expect(body.capabilities).toEqual({ 'reaction.add': 'off' });
      expect(body.pending_capabilities).toEqual({
        difference: expect.stringMatching(/^[0-9a-f]{32}$/),
        capabilities: [
          {
            name: 'message.write',
            words: 'Post messages outside of the thread it was asked in',
            from: 'ask',
            to: 'on',
          },
          { name: 'search.read', words: 'Search messages', from: 'off', to: 'ask' },
        ],
        scopes: ['search:read.public'],
        requested_at: expect.any(String),
      });
      expect((await open(path)).map(({ kind, text }) => [kind, text])).toEqual([
        [
          'publication.capabilities_requested',
          'Ada in Slack shall be allowed more: Post messages outside of the thread it was asked in (on), Search messages (ask). An admin has to approve it.',
        ],
      ]);
      const difference = body.pending_capabilities?.difference;
      expect((await post(`${path}/capabilities/approve`, { difference: 'f'.repeat(32) })).status).toBe(409);
      const approved = await post(`${path}/capabilities/approve`, { difference });
      expect(approved.body).toMatchObject({
        capabilities: { 'search.read': 'ask', 'message.write': 'on', 'reaction.add': 'off' },
        pending_capabilities: null,
      });
      expect(await open(path)).toEqual([]);
      expect((await post(`${path}/capabilities/approve`, { difference })).status).toBe(409);
    },
  );

  it('asks nobody while nobody has installed it', async () => {
    const path = await made('credentials_filled');
    const { body } = await set(path, { 'search.read': 'on' });
    expect(body).toMatchObject({ capabilities: { 'search.read': 'on' }, pending_capabilities: null });
  });

  it('is not approved by accident when the difference changed since it was shown', async () => {
    const path = await made();
    const first = await set(path, { 'search.read': 'ask' });
    const second = await set(path, { 'search.read': 'on', 'dm.write': 'on' });
    const shown = first.body.pending_capabilities?.difference;
    const refused = await post(`${path}/capabilities/approve`, { difference: shown });
    expect([refused.status, refused.error]).toEqual([
      409,
      expect.objectContaining({ message: expect.stringContaining('has changed since it was shown') }),
    ]);
    expect((await t.api('GET', path)).body.capabilities).toEqual({});
    expect(second.body.pending_capabilities?.difference).not.toBe(shown);
    // The same again is the same difference, however it was asked for in between.
    expect((await set(path, { 'search.read': 'ask' })).body.pending_capabilities?.difference).toBe(shown);
    expect(await open(path)).toHaveLength(1);
  });

  it('is as it was after a rejection, and after the wish was taken back', async () => {
    const path = await made();
    await set(path, { 'dm.write': 'on' });
    const rejected = await post(`${path}/capabilities/reject`);
    expect(rejected.body).toMatchObject({ capabilities: {}, pending_capabilities: null });
    expect((await post(`${path}/capabilities/reject`)).status).toBe(409);
    await set(path, { 'dm.write': 'on' });
    const back = await set(path, {});
    expect(back.body).toMatchObject({ capabilities: {}, pending_capabilities: null });
    expect(await open(path)).toEqual([]);
  });

  it('is decided over once when two admins do it at once', async () => {
    const path = await made();
    const { body } = await set(path, { 'dm.write': 'on' });
    const difference = body.pending_capabilities?.difference;
    const answers = await Promise.all([
      post(`${path}/capabilities/approve`, { difference }),
      post(`${path}/capabilities/approve`, { difference }),
      post(`${path}/capabilities/approve`, { difference }),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409]);
  });

  it('says which scopes the provider has yet to give, and works with those that it has', async () => {
    const path = await made();
    const id = path.split('/').at(-1) ?? '';
    const before = (await t.api('GET', path)).body as unknown as Shown;
    expect(before.missing_scopes).toEqual([]);
    await t.database
      .update(publications)
      .set({ setup: { scopes: ['chat:write'] } })
      .where(eq(publications.id, id));
    const { body } = await set(path, { 'search.read': 'on' });
    const approved = await post(`${path}/capabilities/approve`, {
      difference: body.pending_capabilities?.difference,
    });
    expect(approved.body.missing_scopes).toContain('search:read.public');
    expect((await t.api('GET', path)).body.state).toBe('live');
  });

  it('belongs to its organization', async () => {
    const path = await made();
    const { body } = await set(path, { 'dm.write': 'on' });
    const theirs = await fetch(`${t.gateway.url}${path}/capabilities/approve`, {
      method: 'POST',
      headers: { 'x-api-key': t.otherKey },
      body: JSON.stringify({ difference: body.pending_capabilities?.difference }),
    });
    expect(theirs.status).toBe(404);
  });
});

it('the scope that naming teams takes is missing until the provider has given it', () => {
  const capabilities = {};
  const named = {
    provider: 'github',
    capabilities,
    policy: { authority: { teams: ['acme/core'] } },
  } as const;
  const given = requiredScopes('github', capabilities);
  expect(scopesToInstall({ ...named, setup: { scopes: given } })).toEqual(['members:read']);
  expect(scopesToInstall({ ...named, policy: {}, setup: { scopes: given } })).toEqual([]);
  expect(scopesToInstall({ ...named, setup: { scopes: [...given, 'members:read'] } })).toEqual([]);
});
