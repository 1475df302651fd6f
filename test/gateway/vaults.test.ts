import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { credentials, organizations, sessions } from '../../src/store/schema.ts';
import { organizationPublicKey } from '../../src/vault/keys.ts';
import { credentialBinding, openCredential } from '../../src/vault/seal.ts';
import { type RestSetUp, setUpRest } from './rest-support.ts';

const rootKey = Buffer.alloc(32, 7);
const token = 'token-0123456789';

describe('/v1/vaults', () => {
  let t: RestSetUp;
  let vault: string;
  let organizationId: string;

  beforeAll(async () => {
    t = await setUpRest();
    for (const { id } of await t.database.select({ id: organizations.id }).from(organizations)) {
      const key = organizationPublicKey(rootKey, id) as Record<string, unknown>;
      await t.database.update(organizations).set({ sealingPublicKey: key }).where(eq(organizations.id, id));
    }
    const made = await t.api('POST', '/v1/vaults', { display_name: 'Team', metadata: { team: 'a' } });
    expect(made.status).toBe(201);
    vault = String(made.body.id);
    return () => t.gateway.close();
  });
  const add = (auth: unknown, more: object = {}) =>
    t.api('POST', `/v1/vaults/${vault}/credentials`, { auth, ...more });

  it('makes, shows, changes, archives and deletes a vault', async () => {
    const { body } = await t.api('POST', '/v1/vaults', { display_name: 'Other' });
    expect(body).toMatchObject({ type: 'vault', display_name: 'Other', metadata: {}, archived_at: null });
    const path = `/v1/vaults/${body.id}`;
    expect((await t.api('POST', path, { display_name: 'Third', metadata: { a: 'b' } })).body).toMatchObject({
      display_name: 'Third',
      metadata: { a: 'b' },
    });
    expect((await t.api('POST', `${path}/archive`)).body.archived_at).not.toBeNull();
    expect((await t.api('POST', path, { display_name: 'x' })).status).toBe(409);
    const listed = (await t.api('GET', '/v1/vaults')).body.data as { id: string }[];
    expect(listed.map(({ id }) => id)).toEqual([vault]);
    expect((await t.api('DELETE', path)).body).toEqual({ id: body.id, type: 'vault_deleted' });
    expect((await t.api('GET', path)).status).toBe(404);
  });

  it('takes a secret and never gives it back, and stores it so that only the egress process opens it', async () => {
    const made = await add(
      { type: 'static_bearer', token, mcp_server_url: 'https://mcp.example.com/mcp' },
      { display_name: 'MCP' },
    );
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      type: 'vault_credential',
      vault_id: vault,
      display_name: 'MCP',
      auth: { type: 'static_bearer', mcp_server_url: 'https://mcp.example.com/mcp' },
      last_used_at: null,
    });
    const path = `/v1/vaults/${vault}/credentials`;
    const everything = JSON.stringify([
      made.body,
      (await t.api('GET', path)).body,
      (await t.api('GET', `${path}/${made.body.id}`)).body,
    ]);
    expect(everything).not.toContain(token);
    const [row] = await t.database
      .select()
      .from(credentials)
      .where(eq(credentials.id, String(made.body.id)));
    expect(JSON.stringify(row)).not.toContain(token);
    organizationId = row?.organizationId ?? '';
    expect(
      await openCredential(rootKey, credentialBinding(organizationId, row?.id ?? ''), row?.sealed ?? ''),
    ).toEqual({ token });
  });

  it('takes every kind', async () => {
    const match = (host: string) => ({ host, path_prefix: '/v1', methods: ['GET'] });
    for (const auth of [
      {
        type: 'header',
        headers: [
          { name: 'X-Key', value: token },
          { name: 'X-App', prefix: 'id ', value: token },
        ],
        match: match('a.example.com'),
      },
      { type: 'basic', username: 'me', password: token, match: match('b.example.com') },
      { type: 'query', name: 'key', value: token, match: match('c.example.com') },
      { type: 'slack_user', token: `xoxp-${token}` },
      {
        type: 'environment_variable',
        secret_name: 'SENTRY_TOKEN',
        secret_value: token,
        networking: { type: 'limited', allowed_hosts: ['sentry.io'] },
      },
      {
        type: 'mcp_oauth',
        access_token: token,
        mcp_server_url: 'https://d.example.com/mcp',
        expires_at: '2030-01-01T00:00:00Z',
        refresh: {
          client_id: 'client',
          refresh_token: token,
          token_endpoint: 'https://d.example.com/token',
          token_endpoint_auth: { type: 'client_secret_post', client_secret: token },
        },
      },
    ]) {
      const made = await add(auth);
      expect([made.status, made.body]).toMatchObject([201, { auth: { type: auth.type } }]);
      expect(JSON.stringify(made.body)).not.toContain(token);
    }
  });

  it('refuses a tie when it is set, in words, and lets it be set elsewhere', async () => {
    const tied = await add({
      type: 'static_bearer',
      token,
      match: { host: 'MCP.example.com', path_prefix: '/mcp/' },
    });
    expect(tied.status).toBe(409);
    expect(JSON.stringify(tied.body)).toContain('same requests');
    expect(
      (
        await add({
          type: 'static_bearer',
          token,
          match: { host: 'mcp.example.com', path_prefix: '/mcp/deeper' },
        })
      ).status,
    ).toBe(201);
    const variable = {
      type: 'environment_variable',
      secret_name: 'SENTRY_TOKEN',
      secret_value: token,
      networking: { type: 'unrestricted' },
    };
    expect((await add(variable)).status).toBe(409);
  });

  it.each([
    ['a short secret', { type: 'static_bearer', token: 'short', match: { host: 'x.example.com' } }],
    [
      'a line end in a secret',
      { type: 'static_bearer', token: `${token}\r\nX: y`, match: { host: 'x.example.com' } },
    ],
    ['no place', { type: 'static_bearer', token }],
    ['a bot as a person', { type: 'slack_user', token: `xoxb-${token}` }],
    [
      'two places',
      {
        type: 'static_bearer',
        token,
        match: { host: 'x.example.com' },
        mcp_server_url: 'https://x.example.com/',
      },
    ],
    ['plain http', { type: 'static_bearer', token, mcp_server_url: 'http://x.example.com/' }],
    ['an address', { type: 'static_bearer', token, mcp_server_url: 'https://10.0.0.1/' }],
    ['every host', { type: 'static_bearer', token, match: { host: '*' } }],
    [
      'a header of the connection',
      { type: 'header', headers: [{ name: 'Host', value: token }], match: { host: 'x.example.com' } },
    ],
    [
      'a variable that the sandbox uses',
      {
        type: 'environment_variable',
        secret_name: 'LD_PRELOAD',
        secret_value: token,
        networking: { type: 'unrestricted' },
      },
    ],
    [
      'a token endpoint inside',
      {
        type: 'mcp_oauth',
        access_token: token,
        mcp_server_url: 'https://x.example.com/',
        refresh: {
          client_id: 'c',
          refresh_token: token,
          token_endpoint: 'https://metadata.internal/',
          token_endpoint_auth: { type: 'none' },
        },
      },
    ],
  ])('refuses %s', async (_, auth) => {
    const answer = await add(auth);
    expect(answer.status).toBe(400);
    expect(JSON.stringify(answer.body)).not.toContain(token);
  });

  it('changes a value without changing the placeholder, and forgets what is archived', async () => {
    const auth = {
      type: 'environment_variable',
      secret_name: 'ROTATED',
      secret_value: token,
      networking: { type: 'unrestricted' },
    };
    const made = await add(auth);
    const path = `/v1/vaults/${vault}/credentials/${made.body.id}`;
    const read = async () =>
      (
        await t.database
          .select()
          .from(credentials)
          .where(eq(credentials.id, String(made.body.id)))
      )[0];
    const before = await read();
    await t.api('POST', path, { auth: { ...auth, secret_value: 'another-0123456789' } });
    const after = await read();
    expect(after?.version).toBe(2);
    expect(after?.detail.variable).toEqual(before?.detail.variable);
    expect(
      await openCredential(rootKey, credentialBinding(organizationId, after?.id ?? ''), after?.sealed ?? ''),
    ).toEqual({ value: 'another-0123456789' });
    expect(
      (
        await t.api('POST', path, {
          auth: { type: 'static_bearer', token, match: { host: 'x.example.com' } },
        })
      ).status,
    ).toBe(400);
    await t.api('POST', `${path}/archive`);
    expect((await read())?.sealed).toBe('');
    expect((await t.api('DELETE', path)).status).toBe(200);
    expect((await t.api('GET', path)).status).toBe(404);
  });

  it('says how many secrets wait for the root key that takes the place of another', async () => {
    const running = (await t.api('GET', '/v1/key_rotation')).body;
    expect(running).toMatchObject({ type: 'key_rotation', state: 'finished', waiting: 0, waiting_ids: [] });
    const key = organizationPublicKey(Buffer.alloc(32, 8), organizationId) as Record<string, unknown>;
    const set = (sealingPublicKey: Record<string, unknown>) =>
      t.database.update(organizations).set({ sealingPublicKey }).where(eq(organizations.id, organizationId));
    await set(key);
    const after = (await t.api('GET', '/v1/key_rotation')).body;
    expect(after).toMatchObject({ state: 'running', waiting: running.total, total: running.total });
    expect((after.waiting_ids as string[]).every((id) => id.startsWith('cred_'))).toBe(true);
    await set(organizationPublicKey(rootKey, organizationId) as Record<string, unknown>);
  });

  it('another organization sees and uses none of it', async () => {
    const as = { authorization: `Bearer ${t.otherKey}` };
    const path = `/v1/vaults/${vault}`;
    const get = (url: string, init: RequestInit = {}) =>
      fetch(`${t.gateway.url}${url}`, { ...init, headers: { ...as, 'content-type': 'application/json' } });
    expect((await get(path)).status).toBe(404);
    expect((await get(`${path}/credentials`)).status).toBe(404);
    expect((await get(path, { method: 'DELETE' })).status).toBe(404);
    const used = await get(`/v1/sessions/${t.other.sessionId}`, {
      method: 'POST',
      body: JSON.stringify({ vault_ids: [vault] }),
    });
    expect(used.status).toBe(404);
    const own = (await (
      await get('/v1/vaults', { method: 'POST', body: JSON.stringify({ display_name: 'Own' }) })
    ).json()) as { id: string };
    const set = await get(`/v1/sessions/${t.other.sessionId}`, {
      method: 'POST',
      body: JSON.stringify({ vault_ids: [own.id] }),
    });
    expect(await set.json()).toMatchObject({ vault_ids: [own.id] });
    const [row] = await t.database.select().from(sessions).where(eq(sessions.id, t.other.sessionId));
    expect(row?.vaultIds).toEqual([own.id]);
  });
});
