import { readFileSync } from 'node:fs';
import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/store/ids.ts';
import { environments, sessions } from '../../src/store/schema.ts';
import { type RestSetUp, setUpRest } from './rest-support.ts';
import { addPublication } from './support.ts';

const ssrf = JSON.parse(readFileSync(new URL('../vault/data/ssrf-corpus.json', import.meta.url), 'utf8')) as {
  host: string;
}[];

describe('/v1/environments', () => {
  let t: RestSetUp;
  let sessionId: string;

  beforeAll(async () => {
    t = await setUpRest({
      sessions: {
        create: async ({ organizationId, agentId }) => {
          const id = newId('sesn');
          await t.database.insert(sessions).values({ id, organizationId, agentId, agentVersion: 1 });
          return id;
        },
        say: async () => '',
        interrupt: async () => '',
      },
    });
    sessionId = newId('sesn');
    const { organizationId, agentId } = t.gateway;
    await t.database.insert(sessions).values({ id: sessionId, organizationId, agentId, agentVersion: 1 });
    return () => t.gateway.close();
  });
  const make = async (input: object = {}) => {
    const answer = await t.api('POST', '/v1/environments', { name: 'e', ...input });
    return { status: answer.status, body: answer.body as { id: string } & Record<string, unknown> };
  };

  it('makes one in which nothing is open, and shows it in the shape of the API', async () => {
    const { status, body } = await make({ description: 'for builds', metadata: { team: 'a' } });
    expect(status).toBe(201);
    expect(body).toEqual({
      id: expect.stringMatching(/^env_/),
      type: 'environment',
      name: 'e',
      description: 'for builds',
      scope: 'organization',
      metadata: { team: 'a' },
      config: {
        type: 'cloud',
        networking: {
          type: 'limited',
          allowed_hosts: [],
          allow_mcp_servers: false,
          allow_package_managers: false,
        },
        packages: { apt: [], cargo: [], gem: [], go: [], npm: [], pip: [] },
      },
      created_at: expect.any(String),
      updated_at: expect.any(String),
      archived_at: null,
    });
    expect((await t.api('GET', `/v1/environments/${body.id}`)).body).toEqual(body);
  });

  it('changes, lists by pages, archives and deletes', async () => {
    const { body } = await make();
    const path = `/v1/environments/${body.id}`;
    const config = { type: 'cloud', networking: { type: 'unrestricted' } };
    expect((await t.api('POST', path, { name: 'f', config, metadata: { a: 'b' } })).body).toMatchObject({
      name: 'f',
      config,
      metadata: { a: 'b' },
    });
    const first = await t.api('GET', '/v1/environments?limit=1');
    expect(first.body.data).toMatchObject([{ id: body.id }]);
    expect(
      (await t.api('GET', `/v1/environments?limit=1&page=${first.body.next_page}`)).body.data,
    ).toHaveLength(1);
    expect((await t.api('POST', `${path}/archive`)).body.archived_at).not.toBeNull();
    expect((await t.api('POST', path, { name: 'g' })).status).toBe(409);
    expect((await t.api('DELETE', path)).body).toEqual({ id: body.id, type: 'environment_deleted' });
    expect((await t.api('GET', path)).status).toBe(404);
  });

  it.each([
    ['a type of its own', { type: 'unlimited' }],
    ['somebody else’s machine', { type: 'self_hosted' }],
    ['packages installed beforehand', { type: 'cloud', packages: { pip: ['numpy'] } }],
    ['an unknown field', { type: 'cloud', network: {} }],
    [
      'a list beside unrestricted',
      { type: 'cloud', networking: { type: 'unrestricted', allowed_hosts: [] } },
    ],
  ])('refuses %s', async (_, config) => {
    const answer = await make({ config });
    expect([answer.status, JSON.stringify(answer.body)]).toEqual([
      400,
      expect.stringMatching(/config|networking|packages/),
    ]);
  });

  it('takes hosts narrowed to a path, and refuses paths that have no one meaning', async () => {
    const publication = await addPublication(t.gateway, 'slack');
    const hosts = ['example.com/v1', '*.example.com:8443/V1/a%20b/'];
    const config = { type: 'cloud', networking: { type: 'limited', allowed_hosts: hosts } };
    expect((await make({ config })).body.config).toMatchObject({ networking: { allowed_hosts: hosts } });
    const policy = { policy: { allowed_hosts: hosts } };
    expect((await t.api('POST', `/v1/publications/${publication.id}`, policy)).body.policy).toEqual(
      policy.policy,
    );
    for (const path of ['/v1/..', '/v1/%2e%2e', '//v1', '/v1?x', '/v1#x', '/v1/*', '/v1,x', '/v1/..%2fx']) {
      const host = `example.com${path}`;
      const limited = { type: 'cloud', networking: { type: 'limited', allowed_hosts: [host] } };
      expect((await make({ config: limited })).status, host).toBe(400);
      const answer = await t.api('POST', `/v1/publications/${publication.id}`, {
        policy: { allowed_hosts: [host] },
      });
      expect([answer.status, JSON.stringify(answer.body)], host).toEqual([
        400,
        expect.stringContaining('policy.allowed_hosts'),
      ]);
    }
  });

  it('refuses addresses in every spelling and names inside, here, for a publication and for a variable', async () => {
    const publication = await addPublication(t.gateway, 'slack');
    const inside = ['localhost', 'metadata.google.internal', 'printer.local', '*', '*.com', 'a/b.com'];
    for (const host of [...ssrf.map((each) => each.host), ...inside]) {
      const config = { type: 'cloud', networking: { type: 'limited', allowed_hosts: [host] } };
      expect((await make({ config })).status, host).toBe(400);
      const policy = { policy: { allowed_hosts: [host] } };
      expect((await t.api('POST', `/v1/publications/${publication.id}`, policy)).status, host).toBe(400);
    }
  });

  it('belongs to sessions and publications, which keep it from being deleted', async () => {
    const { body } = await make();
    const set = await t.api('POST', `/v1/sessions/${sessionId}`, { environment_id: body.id });
    expect(set.body).toMatchObject({ environment_id: body.id, vault_ids: [] });
    const used = await t.api('DELETE', `/v1/environments/${body.id}`);
    expect([used.status, JSON.stringify(used.body)]).toEqual([409, expect.stringContaining(sessionId)]);
    expect((await t.api('POST', `/v1/sessions/${sessionId}`, { environment_id: null })).body).toMatchObject({
      environment_id: null,
    });
    const publication = await addPublication(t.gateway, 'slack');
    const policy = { environment_id: body.id };
    const changed = await t.api('POST', `/v1/publications/${publication.id}`, { policy });
    expect(changed.body.policy).toEqual(policy);
    expect((await t.api('DELETE', `/v1/environments/${body.id}`)).status).toBe(409);
    const agent = t.gateway.agentId;
    const made = await t.api('POST', '/v1/sessions', { agent, environment_id: body.id });
    expect(made.body).toMatchObject({ environment_id: body.id });
    await t.api('POST', `/v1/environments/${body.id}/archive`);
    expect((await t.api('POST', '/v1/sessions', { agent, environment_id: body.id })).status).toBe(409);
    expect((await t.api('POST', '/v1/sessions', { agent, environment_id: 'env_none' })).status).toBe(404);
    expect(
      (await t.api('POST', `/v1/publications/${publication.id}`, { policy: { environment_id: 'env_none' } }))
        .status,
    ).toBe(404);
  });

  it('another organization sees and uses none of it', async () => {
    const { body } = await make();
    const get = (url: string, init: RequestInit = {}) =>
      fetch(`${t.gateway.url}${url}`, {
        ...init,
        headers: { authorization: `Bearer ${t.otherKey}`, 'content-type': 'application/json' },
      });
    for (const [method, path] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/archive'],
    ]) {
      expect((await get(`/v1/environments/${body.id}${path}`, { method: method ?? '' })).status).toBe(404);
    }
    const used = await get(`/v1/sessions/${t.other.sessionId}`, {
      method: 'POST',
      body: JSON.stringify({ environment_id: body.id }),
    });
    expect(used.status).toBe(404);
    expect(((await (await get('/v1/environments')).json()) as { data: unknown[] }).data).toEqual([]);
    await expect(
      t.database.update(sessions).set({ environmentId: body.id }).where(eq(sessions.id, t.other.sessionId)),
    ).rejects.toThrow();
    expect(await t.database.select().from(environments).where(eq(environments.id, body.id))).toHaveLength(1);
  });
});
