import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import type { GatewayAdapter } from '../../src/gateway/deps.ts';
import { createPublication } from '../../src/gateway/publish/create.ts';
import { ignoreReasons } from '../../src/providers/ignore-reasons.ts';
import { adapters } from '../../src/providers/index.ts';
import { ProviderError } from '../../src/providers/provider.ts';
import {
  credentials,
  deliveries,
  type InstallationIdentity,
  installations,
  organizations,
  publications,
  webhookSecrets,
} from '../../src/store/schema.ts';
import type { PlatformPrincipal } from '../../src/vault/egress/protocol.ts';
import { credentialBinding, openCredential } from '../../src/vault/seal.ts';
import { type RestSetUp, setUpRest } from './rest-support.ts';
import { addPublication, rootKey, secrets, send, signSlack, silent, slackMention } from './support.ts';

const slackCredentials = { signing_secret: 'a-signing-secret', bot_token: 'xoxb-the-bot-token' };
const identity: InstallationIdentity = {
  workspaceId: 'T9',
  workspaceName: 'Acme',
  userId: 'UBOT',
  handle: 'ada',
};

describe('/v1/publications', () => {
  let t: RestSetUp;
  let whoAmI: GatewayAdapter['whoAmI'];
  const asked: PlatformPrincipal[] = [];
  const platformFetch = (principal: PlatformPrincipal): typeof fetch => {
    asked.push(principal);
    return async () => new Response('{}');
  };
  const confirming: typeof adapters = {
    ...adapters,
    slack: { ...adapters.slack, whoAmI: (...args) => whoAmI(...args) },
  };

  beforeAll(async () => {
    t = await setUpRest({ adapters: confirming, platformFetch });
    return () => t.gateway.close();
  });

  const publish = (extra: Record<string, unknown> = {}) =>
    t.api('POST', '/v1/publications', {
      provider: 'slack',
      agent_id: t.gateway.agentId,
      credentials: slackCredentials,
      ...extra,
    });

  it('is live once the provider has said who the credentials are', async () => {
    whoAmI = async (context) => {
      await context.fetch('https://slack.com/api/auth.test');
      return identity;
    };
    const { status, body } = await publish({
      capabilities: { 'message.write': 'on' },
      policy: { allowed_hosts: ['example.com', '*.example.org'] },
    });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      type: 'publication',
      provider: 'slack',
      agent_id: t.gateway.agentId,
      state: 'live',
      state_reason: null,
      webhook_url: `https://tagalong.example.com/webhooks/slack/${body.id}`,
      identity,
      capabilities: { 'message.write': 'on' },
      policy: { allowed_hosts: ['example.com', '*.example.org'] },
      emulated: false,
    });
    const id = String(body.id);
    const [installation] = await t.database
      .select()
      .from(installations)
      .where(eq(installations.publicationId, id));
    expect(installation).toMatchObject({ identity, provider: 'slack' });
    const [credential] = await t.database.select().from(credentials).where(eq(credentials.publicationId, id));
    expect(credential?.installationId).toBe(installation?.id);
    // It was asked with this very credential.
    expect(asked.at(-1)).toEqual({
      organizationId: t.gateway.organizationId,
      installationId: credential?.id,
    });
    expect((await t.api('GET', `/v1/publications/${id}`)).body).toEqual(body);
    expect((await t.api('GET', '/v1/publications?provider=slack')).body.data).toContainEqual(body);
    expect((await t.api('GET', '/v1/publications?provider=linear')).body.data).toEqual([]);
  });

  it('seals what it is given: no row and no answer holds it, and only the right key opens it', async () => {
    whoAmI = async () => identity;
    const { body } = await publish();
    const id = String(body.id);
    const [credential] = await t.database.select().from(credentials).where(eq(credentials.publicationId, id));
    const [secret] = await t.database
      .select()
      .from(webhookSecrets)
      .where(eq(webhookSecrets.publicationId, id));
    const everything = JSON.stringify([body, credential, secret]);
    for (const value of Object.values(slackCredentials)) {
      expect(everything).not.toContain(value);
      expect(everything).not.toContain(Buffer.from(value).toString('base64'));
    }
    const binding = credentialBinding(t.gateway.organizationId, credential?.id ?? '');
    expect(await openCredential(rootKey, binding, credential?.sealed ?? '')).toEqual({
      token: slackCredentials.bot_token,
    });
    await expect(
      secrets.openWebhookSecret({ ...binding, table: 'webhook_secrets' }, secret?.sealed ?? ''),
    ).rejects.toThrow();
  });

  it('takes webhooks at its URL from the moment that it exists', async () => {
    whoAmI = async () => identity;
    const { body } = await publish();
    const { pathname } = new URL(String(body.webhook_url));
    const challenge = JSON.stringify({ type: 'url_verification', challenge: 'abc' });
    const answer = await send(
      t.gateway.port,
      pathname,
      signSlack(slackCredentials.signing_secret, challenge),
    );
    expect(answer).toMatchObject({ status: 200, body: 'abc' });
  });

  it('is made but not live when the provider says no, says why, and can be confirmed later', async () => {
    whoAmI = async () => {
      throw new ProviderError('unauthorized', 'invalid_auth');
    };
    const { status, body } = await publish();
    expect(status).toBe(201);
    expect(body).toMatchObject({ state: 'credentials_filled', identity: null });
    expect(body.state_reason).toContain('invalid_auth');
    whoAmI = async () => identity;
    const confirmed = await t.api('POST', `/v1/publications/${body.id}/confirm`);
    expect(confirmed.body).toMatchObject({ state: 'live', state_reason: null, identity });
    await t.api('POST', `/v1/publications/${body.id}/confirm`);
    const rows = await t.database
      .select()
      .from(installations)
      .where(eq(installations.publicationId, String(body.id)));
    expect(rows).toHaveLength(1);
  });

  it('stays live while the provider is away, and needs new credentials when they were revoked', async () => {
    whoAmI = async () => identity;
    const { body } = await publish();
    whoAmI = async () => {
      throw new ProviderError('unavailable', 'no answer');
    };
    expect((await t.api('POST', `/v1/publications/${body.id}/confirm`)).body.state).toBe('live');
    whoAmI = async () => {
      throw new ProviderError('unauthorized', 'token_revoked');
    };
    const revoked = await t.api('POST', `/v1/publications/${body.id}/confirm`);
    expect(revoked.body).toMatchObject({ state: 'needs_reauth' });
    expect(revoked.body.state_reason).toContain('token_revoked');
  });

  it.each([
    ['an unknown capability', { capabilities: { 'message.shout': 'on' } }, 'message.shout'],
    ['a capability of another provider', { capabilities: { 'pr.merge': 'on' } }, 'thread.reply'],
    ['a grant that is none', { capabilities: { 'message.write': 'maybe' } }, 'capabilities.message.write'],
    ['a missing credential', { credentials: { signing_secret: 'a-signing-secret' } }, 'bot_token'],
    ['credentials of another shape', { credentials: 'xoxb-1' }, 'credentials'],
    ['an unknown provider', { provider: 'teams' }, 'provider'],
    ['an unknown field', { emulated: true }, 'emulated'],
    ['a URL for a host', { policy: { allowed_hosts: ['https://example.com'] } }, 'allowed_hosts'],
    ['an address for a host', { policy: { allowed_hosts: ['169.254.169.254'] } }, 'allowed_hosts'],
    ['every host', { policy: { allowed_hosts: ['*'] } }, 'allowed_hosts'],
    [
      'teams of a provider that has none',
      { policy: { authority: { teams: ['acme/core'] } } },
      'has no teams',
    ],
    ['a team without its organization', { policy: { authority: { teams: ['core'] } } }, 'org/team-slug'],
    ['every host passed through', { policy: { passthrough_hosts: ['*'] } }, 'passthrough_hosts'],
    ['an unknown policy', { policy: { open: true } }, 'policy.open'],
  ])('refuses %s by name and stores nothing', async (_name, extra, word) => {
    const before = (await t.database.select().from(publications)).length;
    const { status, body } = await publish(extra);
    expect(status).toBe(400);
    expect((body.error as { message: string }).message).toContain(word);
    expect(JSON.stringify(body)).not.toContain('xoxb-the-bot-token');
    expect((await t.database.select().from(publications)).length).toBe(before);
  });

  it("refuses an agent that does not exist or is another organization's", async () => {
    for (const agent_id of ['agent_0', t.other.agentId]) {
      expect((await publish({ agent_id })).status).toBe(404);
    }
  });

  it('says so when there is no key to seal to yet', async () => {
    const before = await t.database.select().from(organizations);
    await t.database.update(organizations).set({ sealingPublicKey: null });
    const { status, body } = await publish();
    expect(status).toBe(503);
    expect((body.error as { message: string }).message).toContain('sealing key');
    for (const { id, sealingPublicKey } of before) {
      await t.database.update(organizations).set({ sealingPublicKey }).where(eq(organizations.id, id));
    }
  });

  it('changes what a publication may do, as a whole', async () => {
    whoAmI = async () => identity;
    const { body } = await publish({ capabilities: { 'message.write': 'on', 'dm.write': 'on' } });
    const path = `/v1/publications/${body.id}`;
    const changed = await t.api('POST', path, { capabilities: { 'dm.write': 'ask' } });
    expect(changed.body).toMatchObject({ capabilities: { 'dm.write': 'ask' }, state: 'live' });
    expect((changed.body.capabilities as Record<string, unknown>)['message.write']).toBeUndefined();
    expect(changed.body.pending_capabilities).toBeNull();
    expect((await t.api('POST', path, { capabilities: { 'pr.merge': 'on' } })).status).toBe(400);
    expect((await t.api('POST', path, { state: 'live' })).status).toBe(400);
    const theirs = await fetch(`${t.gateway.url}${path}`, {
      method: 'POST',
      headers: { 'x-api-key': t.otherKey },
      body: '{"capabilities":{}}',
    });
    expect(theirs.status).toBe(404);
  });

  it('destroys secrets and takes no more webhooks once unpublished', async () => {
    whoAmI = async () => identity;
    const { body } = await publish();
    const { pathname } = new URL(String(body.webhook_url));
    const mention = () => slackMention(slackCredentials.signing_secret);
    expect((await send(t.gateway.port, pathname, mention())).status).toBe(200);
    const ended = await t.api('POST', `/v1/publications/${body.id}/unpublish`);
    expect(ended.body.state).toBe('unpublished');
    expect((await send(t.gateway.port, pathname, mention())).status).toBe(401);
    const id = String(body.id);
    expect(
      await t.database.select().from(webhookSecrets).where(eq(webhookSecrets.publicationId, id)),
    ).toEqual([]);
    expect(await t.database.select().from(credentials).where(eq(credentials.publicationId, id))).toEqual([]);
    expect((await t.api('POST', `/v1/publications/${id}/confirm`)).status).toBe(409);
  });

  it('marks as emulated only what the server itself publishes', async () => {
    whoAmI = async () => identity;
    const id = await createPublication(
      {
        database: t.database,
        adapters: confirming,
        secrets,
        platformFetch,
        clock: () => new Date(),
        logger: silent,
      },
      t.gateway.organizationId,
      { provider: 'slack', agentId: t.gateway.agentId, credentials: slackCredentials, emulated: true },
    );
    expect((await t.api('GET', `/v1/publications/${id}`)).body).toMatchObject({
      emulated: true,
      state: 'live',
    });
  });

  it('lists deliveries with their outcome and its reason in words, by publication and by kind', async () => {
    const one = await addPublication(t.gateway, 'slack');
    const two = await addPublication(t.gateway, 'slack');
    for (const publication of [one, one, one, two]) {
      await send(t.gateway.port, publication.path, slackMention(publication.secret));
    }
    const [first, second, third] = await t.database
      .select()
      .from(deliveries)
      .where(eq(deliveries.publicationId, one.id))
      .orderBy(deliveries.id);
    const settle = (id: string | undefined, change: Partial<typeof deliveries.$inferInsert>) =>
      t.database
        .update(deliveries)
        .set({ ...change, settledAt: new Date() })
        .where(eq(deliveries.id, id ?? ''));
    await settle(first?.id, { outcome: 'routed', sessionId: 'sesn_1' });
    await settle(second?.id, { outcome: 'ignored', reason: 'no_authority' });
    const list = async (query: string) =>
      (await t.api('GET', `/v1/deliveries?${query}`)).body.data as Record<string, unknown>[];
    const all = await list(`publication_id=${one.id}`);
    expect(all.map(({ id }) => id)).toEqual([third?.id, second?.id, first?.id]);
    expect(all.map(({ outcome }) => outcome)).toEqual([
      { kind: 'pending', message: expect.stringContaining('waits') },
      { kind: 'ignored', reason: 'no_authority', message: ignoreReasons.no_authority },
      { kind: 'routed', session_id: 'sesn_1', message: expect.stringContaining('reached the agent') },
    ]);
    expect(await list(`publication_id=${one.id}&outcome=ignored`)).toHaveLength(1);
    expect(JSON.stringify(all)).not.toContain('hello');
    expect((await t.api('GET', `/v1/deliveries/${first?.id}`)).body.id).toBe(first?.id);
    expect((await t.api('GET', '/v1/deliveries?outcome=lost')).status).toBe(400);
  });

  it('takes a policy of who may address the agent, who approves, and how often, and names what is wrong in it', async () => {
    const { body } = await publish();
    const path = `/v1/publications/${body.id}`;
    const policy = {
      authority: { who: 'listed', people: ['U1', '@maya'], places: ['C1'], bots: 'allow', max_hops: 2 },
      approvals: { approvers: ['U2', 'U3'], needed: 2, self: true, expires_minutes: 5 },
      limits: { turns_per_anchor_per_hour: 3, turns_per_hour: 30 },
      allowed_hosts: ['example.com'],
      passthrough_hosts: ['pinned.example.com'],
    };
    expect((await t.api('POST', path, { policy })).body.policy).toEqual(policy);
    for (const [wrong, name] of [
      [{ authority: { who: 'anybody' } }, 'who'],
      [{ authority: { guests: true } }, 'guests'],
      [{ approvals: { needed: 0 } }, 'needed'],
      [{ approvals: { approvers: [] } }, 'approvers'],
      [{ approvals: { approvers: ['U2'], needed: 2 } }, 'more than there are approvers'],
      [{ limits: { turns_per_hour: -1 } }, 'turns_per_hour'],
      [{ authority: { surprise: 1 } }, 'surprise'],
    ] as const) {
      const answer = await t.api('POST', path, { policy: wrong });
      expect(answer.status).toBe(400);
      expect(JSON.stringify(answer.body)).toContain(name);
    }
    expect((await t.api('GET', path)).body.policy).toEqual(policy);
  });
});
