import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { newId } from '../../src/store/ids.ts';
import { credentialGrants, organizations, sessions } from '../../src/store/schema.ts';
import { organizationPublicKey } from '../../src/vault/keys.ts';
import { findPassthroughClaim } from '../../src/vault/passthrough-claims.ts';
import { type RestSetUp, setUpRest } from './rest-support.ts';
import { addPublication } from './support.ts';

const rootKey = Buffer.alloc(32, 7);
const token = 'token-0123456789';
const bearer = (host: string) => ({ type: 'static_bearer', token, match: { host } });
const variable = (...allowed_hosts: string[]) => ({
  type: 'environment_variable',
  ...{ secret_name: 'KEY', secret_value: token },
  networking: allowed_hosts.length > 0 ? { type: 'limited', allowed_hosts } : { type: 'unrestricted' },
});
const oauth = (server: string, endpoint: string) => ({
  ...{ type: 'mcp_oauth', access_token: token, mcp_server_url: `https://${server}/mcp` },
  refresh: {
    ...{ client_id: 'c', refresh_token: token, token_endpoint: `https://${endpoint}/token` },
    token_endpoint_auth: { type: 'none' },
  },
});

test.each([
  ['a.example.com', 'a.example.com', true],
  ['a.example.com', 'b.example.com', false],
  ['a.example.com', '*.example.com', true],
  ['a.b.example.com', '*.example.com', false],
  ['example.com', '*.example.com', false],
  ['*.example.com', 'a.example.com', true],
  ['*.example.com', 'example.com', false],
  ['*.example.com', '*.example.com', true],
  ['*.example.com', '*.a.example.com', true],
  ['*.a.example.com', '*.example.com', false],
  ['*.example.com', '*.evilexample.com', false],
])('the entry %s and a credential for %s: %s', (entry, host, says) => {
  const rule = { host, path_prefix: '/x', methods: ['GET'] };
  expect(findPassthroughClaim([entry], { rule }) !== undefined).toBe(says);
});

test.each([
  ['a.example.com', ['a.example.com'], true],
  ['a.b.example.com', ['*.example.com'], true],
  ['*.b.example.com', ['x.example.org', '*.example.com'], true],
  ['*.example.com', ['*.b.example.com'], true],
  ['*.example.com', ['example.com'], false],
  ['a.example.com', null, false],
])('the entry %s and a variable for %j: %s', (entry, hosts, says) => {
  const of = { name: 'KEY', placeholder: 'p', header: true, body: false, hosts };
  expect(findPassthroughClaim([entry], { variable: of }) !== undefined).toBe(says);
});

describe('a host that is passed through and a credential for it', () => {
  let t: RestSetUp;
  beforeAll(async () => {
    t = await setUpRest();
    const { organizationId } = t.gateway;
    const key = organizationPublicKey(rootKey, organizationId) as Record<string, unknown>;
    await t.database
      .update(organizations)
      .set({ sealingPublicKey: key })
      .where(eq(organizations.id, organizationId));
    return () => t.gateway.close();
  });

  const newVault = async () => String((await t.api('POST', '/v1/vaults', { display_name: 'Team' })).body.id);
  const add = (vault: string, auth: object) =>
    t.api('POST', `/v1/vaults/${vault}/credentials`, { auth, display_name: 'Mine' });
  const newSession = async (publicationId: string) => {
    const id = newId('sesn');
    const { organizationId, agentId } = t.gateway;
    await t.database.insert(sessions).values({ id, organizationId, agentId, agentVersion: 1, publicationId });
    return id;
  };
  const set = (publicationId: string, policy: object) =>
    t.api('POST', `/v1/publications/${publicationId}`, { policy });
  const said = ({ status, body }: { status: number; body: unknown }) => [status, JSON.stringify(body)];
  const refused = (...words: string[]) => [409, expect.stringMatching(words.join('.*'))];

  it.each([
    ['a credential that is put on there', bearer('pinned.example.com'), 'is put on'],
    ['a variable for it', variable('pinned.example.com'), 'is filled in'],
    ['one that gets its tokens there', oauth('mcp.example.org', 'pinned.example.com'), 'gets its tokens'],
  ])('is refused with %s, from either side', async (_, auth, does) => {
    const publication = await addPublication(t.gateway, 'slack');
    const vault = await newVault();
    const made = await add(vault, auth);
    expect(made.status).toBe(201);
    const passing = { passthrough_hosts: ['*.example.com'], vault_ids: [vault] };
    expect(said(await set(publication.id, passing))).toEqual(
      refused(
        String.raw`policy\.passthrough_hosts: \*\.example\.com is passed through`,
        `${made.body.id} \\(Mine\\) of vault ${vault} ${does} there`,
      ),
    );
    const agent_id = t.gateway.agentId;
    const created = await t.api('POST', '/v1/publications', { provider: 'slack', agent_id, policy: passing });
    expect(said(created)).toEqual(refused('passthrough_hosts'));
    // The other way round: the list is there, and the credential comes.
    await t.api('POST', `/v1/vaults/${vault}/credentials/${made.body.id}/archive`);
    expect((await set(publication.id, passing)).status).toBe(200);
    expect(said(await add(vault, auth))).toEqual(refused(`by publication ${publication.id}`, does));
    const other = await add(vault, bearer('elsewhere.example.org'));
    expect(other.status).toBe(201);
    const path = `/v1/vaults/${vault}/credentials/${other.body.id}`;
    if (auth.type === 'static_bearer') {
      expect(said(await t.api('POST', path, { auth }))).toEqual(refused(`by publication ${publication.id}`));
    }
    expect((await t.api('POST', path, { display_name: 'Renamed' })).status).toBe(200);
    expect((await set(publication.id, { vault_ids: [vault] })).status).toBe(200);
    expect((await add(vault, auth)).status).toBe(201);
  });

  it('a variable for every host stands in no way', async () => {
    const publication = await addPublication(t.gateway, 'slack');
    const vault = await newVault();
    expect((await add(vault, variable())).status).toBe(201);
    const policy = { passthrough_hosts: ['pinned.example.com'], vault_ids: [vault] };
    expect((await set(publication.id, policy)).status).toBe(200);
  });

  it("counts a session's own vaults, from three sides, until the session is archived", async () => {
    const publication = await addPublication(t.gateway, 'slack');
    const session = await newSession(publication.id);
    const [vault, empty] = [await newVault(), await newVault()];
    await add(vault, bearer('pinned.example.com'));
    const own = (vault_ids: string[]) => t.api('POST', `/v1/sessions/${session}`, { vault_ids });
    const policy = { passthrough_hosts: ['pinned.example.com'] };
    expect((await own([vault])).status).toBe(200);
    expect(said(await set(publication.id, policy))).toEqual(refused(`of vault ${vault}`));
    expect((await own([empty])).status).toBe(200);
    expect((await set(publication.id, policy)).status).toBe(200);
    expect(said(await own([vault]))).toEqual(refused(`by publication ${publication.id}`));
    expect(said(await add(empty, bearer('pinned.example.com')))).toEqual(
      refused(`by publication ${publication.id}`),
    );
    await t.database.update(sessions).set({ archivedAt: new Date() }).where(eq(sessions.id, session));
    expect((await add(empty, bearer('pinned.example.com'))).status).toBe(201);
  });

  it('counts what a session is lent, while it is', async () => {
    const publication = await addPublication(t.gateway, 'slack');
    const session = await newSession(publication.id);
    const vault = await newVault();
    const { body: one } = await add(vault, bearer('pinned.example.com'));
    const expires_at = new Date(Date.now() + 3_600_000).toISOString();
    const lend = (what: object) =>
      t.api('POST', `/v1/sessions/${session}/credential_grants`, { ...what, expires_at });
    const policy = { passthrough_hosts: ['pinned.example.com'] };
    for (const what of [{ vault_id: vault }, { credential_id: one.id }]) {
      const grant = await lend(what);
      expect(grant.status).toBe(201);
      expect(said(await set(publication.id, policy))).toEqual(refused(`${one.id}`));
      await t.database
        .update(credentialGrants)
        .set({ expiresAt: new Date(0) })
        .where(eq(credentialGrants.id, String(grant.body.id)));
      expect((await set(publication.id, policy)).status).toBe(200);
      expect(said(await lend(what))).toEqual(refused(`by publication ${publication.id}`));
      expect((await set(publication.id, {})).status).toBe(200);
    }
    // A list that comes while a vault is lent is seen by what is added to the vault.
    const empty = await newVault();
    expect((await set(publication.id, policy)).status).toBe(200);
    expect((await lend({ vault_id: empty })).status).toBe(201);
    expect(said(await add(empty, bearer('pinned.example.com')))).toEqual(refused('passed through'));
  });

  it('of two changes at once that may not both be, one is refused', async () => {
    for (let round = 0; round < 8; round++) {
      const publication = await addPublication(t.gateway, 'slack');
      const vault = await newVault();
      const policy = { passthrough_hosts: ['pinned.example.com'], vault_ids: [vault] };
      expect((await set(publication.id, { vault_ids: [vault] })).status).toBe(200);
      const [listed, added] = await Promise.all([
        set(publication.id, policy),
        add(vault, bearer('pinned.example.com')),
      ]);
      expect([listed.status, added.status].filter((status) => status === 409)).toHaveLength(1);
    }
  });

  it('nor when a publication is made with the list while a credential is added', async () => {
    const vault = await newVault();
    const policy = { passthrough_hosts: ['pinned.example.com'], vault_ids: [vault] };
    const agent_id = t.gateway.agentId;
    // Held up where it has been looked through, and is about to be stored.
    const blocker = await t.database.$client.connect();
    await blocker.query('begin');
    await blocker.query('lock table publications in share mode');
    const isHeldUp = async () => {
      const { rows } = await blocker.query(
        `select from pg_locks where not granted and relation = 'publications'::regclass`,
      );
      return rows.length;
    };
    const made = t.api('POST', '/v1/publications', { provider: 'slack', agent_id, policy });
    await expect.poll(isHeldUp).toBe(1);
    const added = add(vault, bearer('pinned.example.com'));
    await Promise.race([added, new Promise((resolve) => setTimeout(resolve, 500))]);
    await blocker.query('commit');
    blocker.release();
    expect((await made).status).toBe(201);
    expect(said(await added)).toEqual(refused('passed through'));
  });

  it('nor when a session takes a vault, or is lent it, while a credential is added to it', async () => {
    const expires_at = new Date(Date.now() + 3_600_000).toISOString();
    for (let round = 0; round < 8; round++) {
      const publication = await addPublication(t.gateway, 'slack');
      const session = await newSession(publication.id);
      const vault = await newVault();
      const policy = { passthrough_hosts: ['pinned.example.com'] };
      expect((await set(publication.id, policy)).status).toBe(200);
      const [taken, added] = await Promise.all([
        round % 2 === 0
          ? t.api('POST', `/v1/sessions/${session}`, { vault_ids: [vault] })
          : t.api('POST', `/v1/sessions/${session}/credential_grants`, { vault_id: vault, expires_at }),
        add(vault, bearer('pinned.example.com')),
      ]);
      expect([taken.status, added.status].filter((status) => status === 409)).toHaveLength(1);
    }
  });

  it('another publication, and another organization, are not asked', async () => {
    const [one, other] = [await addPublication(t.gateway, 'slack'), await addPublication(t.gateway, 'slack')];
    const vault = await newVault();
    expect((await set(one.id, { vault_ids: [vault] })).status).toBe(200);
    expect((await set(other.id, { passthrough_hosts: ['pinned.example.com'] })).status).toBe(200);
    expect((await add(vault, bearer('pinned.example.com'))).status).toBe(201);
  });
});
