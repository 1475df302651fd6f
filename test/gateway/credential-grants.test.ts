import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/store/ids.ts';
import { organizations, sessions, turns } from '../../src/store/schema.ts';
import { organizationPublicKey } from '../../src/vault/keys.ts';
import { type RestSetUp, setUpRest } from './rest-support.ts';
import { addPublication } from './support.ts';

const rootKey = Buffer.alloc(32, 7);

describe('what is used together', () => {
  let t: RestSetUp;
  let sessionId: string;
  const vaultIds: string[] = [];

  const add = (vault: number, path: string) =>
    t.api('POST', `/v1/vaults/${vaultIds[vault]}/credentials`, {
      auth: {
        type: 'static_bearer',
        token: 'token-0123456789',
        match: { host: 'api.example.com', path_prefix: path },
      },
    });
  const newSession = async (publicationId: string | null = null) => {
    const id = newId('sesn');
    const { organizationId, agentId } = t.gateway;
    await t.database.insert(sessions).values({ id, organizationId, agentId, agentVersion: 1, publicationId });
    return id;
  };

  beforeAll(async () => {
    t = await setUpRest();
    for (const { id } of await t.database.select({ id: organizations.id }).from(organizations)) {
      const key = organizationPublicKey(rootKey, id) as Record<string, unknown>;
      await t.database.update(organizations).set({ sealingPublicKey: key }).where(eq(organizations.id, id));
    }
    sessionId = await newSession();
    for (const name of ['a', 'b', 'c']) {
      vaultIds.push(String((await t.api('POST', '/v1/vaults', { display_name: name })).body.id));
    }
    return () => t.gateway.close();
  });

  it('vaults whose credentials would claim the same requests are not attached together, and it says which', async () => {
    const [one, two] = [await add(0, '/same'), await add(1, '/same')];
    expect([one.status, two.status]).toEqual([201, 201]);
    const set = (vault_ids: (string | undefined)[]) =>
      t.api('POST', `/v1/sessions/${sessionId}`, { vault_ids });
    const tied = await set(vaultIds);
    expect(tied.status).toBe(409);
    for (const id of [one.body.id, two.body.id, vaultIds[0], vaultIds[1]]) {
      expect(JSON.stringify(tied.body)).toContain(id);
    }
    expect((await set([vaultIds[0], vaultIds[2]])).status).toBe(200);
    // Later on too: what is added to one of them is seen beside the other.
    expect((await add(2, '/same')).status).toBe(409);
    expect((await add(2, '/third')).status).toBe(201);
    expect((await set([vaultIds[0], vaultIds[0]])).status).toBe(200);
  });

  it("a session's vaults and its publication's count together, from either side", async () => {
    const publication = await addPublication(t.gateway, 'slack');
    const ofPublication = await newSession(publication.id);
    const share = (vault_ids: (string | undefined)[]) =>
      t.api('POST', `/v1/publications/${publication.id}`, { policy: { vault_ids } });
    const own = (vault_ids: (string | undefined)[]) =>
      t.api('POST', `/v1/sessions/${ofPublication}`, { vault_ids });
    expect((await share([vaultIds[0]])).status).toBe(200);
    expect((await own([vaultIds[1]])).status).toBe(409);
    expect((await own([vaultIds[2]])).status).toBe(200);
    expect((await share([])).status).toBe(200);
    expect((await own([vaultIds[1]])).status).toBe(200);
    expect((await share([vaultIds[0]])).status).toBe(409);
  });

  describe('/v1/sessions/{id}/credential_grants', () => {
    const path = () => `/v1/sessions/${sessionId}/credential_grants`;
    const soon = () => new Date(Date.now() + 3_600_000).toISOString();

    it('lends a vault until a time, lists it, and takes it back', async () => {
      const lender = String((await t.api('POST', '/v1/vaults', { display_name: 'lent' })).body.id);
      const expires_at = soon();
      const made = await t.api('POST', path(), { vault_id: lender, expires_at });
      expect([made.status, made.body]).toMatchObject([
        201,
        {
          type: 'credential_grant',
          session_id: sessionId,
          vault_id: lender,
          credential_id: null,
          turn: null,
          expires_at,
        },
      ]);
      expect((await t.api('GET', path())).body.data).toEqual([made.body]);
      expect((await t.api('DELETE', `${path()}/${made.body.id}`)).body).toEqual({
        id: made.body.id,
        type: 'credential_grant_deleted',
      });
      expect((await t.api('DELETE', `${path()}/${made.body.id}`)).status).toBe(404);
    });

    it('lends one credential for the running turn or the next', async () => {
      const id = String((await add(2, '/lent')).body.id);
      const none = await t.api('POST', path(), { credential_id: id, turn: 'current' });
      expect([none.status, JSON.stringify(none.body)]).toEqual([409, expect.stringContaining('next')]);
      expect((await t.api('POST', path(), { credential_id: id, turn: 'next' })).body).toMatchObject({
        credential_id: id,
        turn: 'next',
        turn_id: null,
      });
      const turnId = newId('turn');
      const { organizationId } = t.gateway;
      await t.database.insert(turns).values({ id: turnId, organizationId, sessionId, fence: 1 });
      expect((await t.api('POST', path(), { credential_id: id, turn: 'current' })).body).toMatchObject({
        turn: 'current',
        turn_id: turnId,
      });
    });

    it('refuses what would tie with what the session has', async () => {
      const tied = await t.api('POST', path(), { vault_id: vaultIds[1], expires_at: soon() });
      expect([tied.status, JSON.stringify(tied.body)]).toEqual([
        409,
        expect.stringContaining('same requests'),
      ]);
    });

    it.each([
      ['neither vault nor credential', { turn: 'next' }],
      ['both', { vault_id: 'vlt_x', credential_id: 'cred_x', turn: 'next' }],
      ['no end', { vault_id: 'vlt_x' }],
      ['two ends', { vault_id: 'vlt_x', turn: 'next', expires_at: '2030-01-01T00:00:00Z' }],
      ['a time that is over', { vault_id: 'vlt_x', expires_at: '2020-01-01T00:00:00Z' }],
      ['a time far away', { vault_id: 'vlt_x', expires_at: '2999-01-01T00:00:00Z' }],
    ])('refuses %s', async (_, input) => {
      expect((await t.api('POST', path(), input)).status).toBe(400);
    });

    it('knows only what is the organization’s own', async () => {
      expect((await t.api('POST', path(), { vault_id: 'vlt_none', turn: 'next' })).status).toBe(404);
      expect((await t.api('POST', path(), { credential_id: 'cred_none', turn: 'next' })).status).toBe(404);
      const foreign = `/v1/sessions/${t.other.sessionId}/credential_grants`;
      expect((await t.api('POST', foreign, { vault_id: vaultIds[0], turn: 'next' })).status).toBe(404);
      expect((await t.api('GET', foreign)).status).toBe(404);
    });
  });
});
