import { randomBytes } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { authInput, splitAuth } from '../../src/gateway/rest/credential-input.ts';
import { newId } from '../../src/store/ids.ts';
import { credentials, sessions, vaults } from '../../src/store/schema.ts';
import { organizationPublicKey } from '../../src/vault/keys.ts';
import { credentialBinding, sealCredential } from '../../src/vault/seal.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { curl, type Door } from './support/client.ts';
import { rootKey, startTestEgress, type TestEgress } from './support/egress.ts';
import { startUpstream } from './support/upstream.ts';

const database = await createTestDatabase();
const upstream = await startUpstream();
const hosts = [
  'api.example.com',
  'other.example.com',
  'a.wild.example.com',
  'mcp.example.com',
  'auth.example.com',
  'mcp.slack.com',
];
const fixture = await createFixture(database.database, {
  provider: 'slack',
  policy: { allowed_hosts: hosts },
});
const upstreams = hosts.map((host) => ({
  host,
  pathPrefix: '/',
  target: `${upstream.origin}/`,
  scope: 'all' as const,
}));
const world = await startTestEgress(database, { upstreams });
const vaultId = newId('vlt');
let door: Door;

beforeAll(async () => {
  const { organizationId } = fixture;
  await database.database.insert(vaults).values({ id: vaultId, organizationId, displayName: 'Team' });
  await database.database
    .update(sessions)
    .set({ vaultIds: [vaultId] })
    .where(eq(sessions.id, fixture.sessionId));
});
afterAll(() => upstream.close());
beforeEach(() => {
  upstream.seen.length = 0;
  upstream.answer = (_request, response) => response.end('{"ok":true}');
});

async function store(auth: unknown, displayName = 'cred'): Promise<string> {
  const split = splitAuth(authInput.parse(auth));
  const { organizationId } = fixture;
  const id = newId('cred');
  await database.database.insert(credentials).values({
    ...{ id, organizationId, vaultId, displayName, kind: split.kind },
    detail: { ...split.detail, metadata: {} },
    sealed: await sealCredential(
      organizationPublicKey(rootKey, organizationId),
      credentialBinding(organizationId, id),
      split.secret,
    ),
  });
  return id;
}
/** Opened anew, so that the policy is read again. */
async function reopen(of: TestEgress = world): Promise<Door> {
  await of.egress.closeSession(fixture.sessionId);
  return of.open(fixture);
}
const secret = () => `s-${randomBytes(12).toString('hex')}`;
const match = (host: string, path_prefix = '/', methods: string[] | null = null) => ({
  host,
  path_prefix,
  methods,
});
const sent = (name: string) => upstream.seen.at(-1)?.headers[name];

test('each kind is put on where its rule says, in the place of what the agent sent, and nowhere else', async () => {
  const [bearer, key, password, query] = [secret(), secret(), secret(), secret()];
  const person = `xoxp-${secret()}`;
  await store({ type: 'slack_user', token: person });
  await store(
    { type: 'static_bearer', token: bearer, match: match('api.example.com', '/bearer') },
    'Bearer one',
  );
  await store({
    type: 'header',
    headers: [
      { name: 'X-Api-Key', value: key },
      { name: 'Authorization', prefix: 'Token ', value: key },
    ],
    match: match('api.example.com', '/header'),
  });
  await store({ type: 'basic', username: 'me', password, match: match('api.example.com', '/basic') });
  await store({ type: 'query', name: 'key', value: query, match: match('api.example.com', '/query') });
  door = await reopen();
  const mine = ['-H', 'Authorization: Bearer mine', '-H', 'X_Api_Key: mine'];
  await curl(door, 'https://api.example.com/bearer/x', ...mine);
  expect(sent('authorization')).toBe(`Bearer ${bearer}`);
  expect(JSON.stringify(upstream.seen)).not.toContain('mine');
  await curl(door, 'https://api.example.com/header', ...mine);
  expect([sent('x-api-key'), sent('authorization')]).toEqual([key, `Token ${key}`]);
  await curl(door, 'https://api.example.com/basic');
  expect(sent('authorization')).toBe(`Basic ${Buffer.from(`me:${password}`).toString('base64')}`);
  await curl(door, 'https://mcp.slack.com/mcp', ...mine, '-d', '{}');
  expect(sent('authorization')).toBe(`Bearer ${person}`);
  await curl(door, 'https://mcp.slack.com/other', ...mine);
  expect(sent('authorization')).toBeUndefined();
  await curl(door, 'https://api.example.com/query?a=1&key=mine&b=%20');
  expect(upstream.seen.at(-1)?.url).toBe(`/query?a=1&b=%20&key=${query}`);
  for (const url of ['https://api.example.com/bearerx', 'https://other.example.com/bearer']) {
    await curl(door, url, ...mine);
    expect(sent('authorization')).toBeUndefined();
  }
  const rows = await world.records(fixture.sessionId);
  expect(rows.find(({ path }) => path === '/bearer/x')).toMatchObject({
    credential: 'Bearer one',
    decision: 'allowed',
  });
  for (const value of [bearer, key, password, query]) expect(JSON.stringify(rows)).not.toContain(value);
  const used = await database.database
    .select()
    .from(credentials)
    .where(eq(credentials.displayName, 'Bearer one'));
  expect(used[0]?.lastUsedAt).not.toBeNull();
});

test('the most specific counts: exact host before wildcard, longer path, named method', async () => {
  const [wild, exact, deep, post] = [secret(), secret(), secret(), secret()];
  await store({ type: 'static_bearer', token: wild, match: match('*.wild.example.com', '/very/deep/path') });
  await store({ type: 'static_bearer', token: exact, match: match('a.wild.example.com') });
  await store({ type: 'static_bearer', token: deep, match: match('a.wild.example.com', '/deep') });
  await store({ type: 'static_bearer', token: post, match: match('a.wild.example.com', '/deep', ['POST']) });
  door = await reopen();
  for (const [args, token] of [
    [['https://a.wild.example.com/very/deep/path'], exact],
    [['https://a.wild.example.com/deep/x'], deep],
    [['https://a.wild.example.com/deep', '-X', 'POST'], post],
  ] as const) {
    await curl(door, ...args);
    expect(sent('authorization')).toBe(`Bearer ${token}`);
  }
});

test('what the upstream says back of a secret is masked, in header and body and however it is written', async () => {
  const token = secret();
  await store({ type: 'static_bearer', token, match: match('api.example.com', '/echo') });
  door = await reopen();
  upstream.answer = async (request, response) => {
    expect(request.headers['accept-encoding']).toBe('identity');
    response.setHeader('x-echo', `got ${token}`);
    response.setHeader('set-cookie', ['a=1', `b=${token}`]);
    response.write(`{"plain":"${token.slice(0, 9)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    response.end(
      `${token.slice(9)}","b":"${Buffer.from(`x:${token}`).toString('base64')}","h":"${Buffer.from(token).toString('hex')}"}`,
    );
  };
  const { stdout } = await curl(door, '-i', '--compressed', 'https://api.example.com/echo');
  expect(stdout).not.toContain(token);
  expect(stdout).not.toContain(Buffer.from(token).toString('hex'));
  expect(Buffer.from(/"b":"([^"]*)"/.exec(stdout)?.[1] ?? '', 'base64').toString('latin1')).not.toContain(
    token,
  );
  expect(stdout.match(/set-cookie/gi)).toHaveLength(2);
  expect((await world.records(fixture.sessionId)).at(-1)?.rule).toContain('redacted:5');
});

describe('environment variables', () => {
  let value: string;
  let placeholder: string;

  beforeAll(async () => {
    value = `ghp_${randomBytes(12).toString('hex')}`;
    await store({
      type: 'environment_variable',
      secret_name: 'SOME_TOKEN',
      secret_value: value,
      networking: { type: 'limited', allowed_hosts: ['api.example.com'] },
      injection_location: { header: true, body: true },
    });
    await world.egress.closeSession(fixture.sessionId);
    const { environment } = await world.egress.openSession(fixture.organizationId, fixture.sessionId);
    placeholder = environment.SOME_TOKEN ?? '';
    door = await world.open(fixture);
  });

  test('the sandbox gets a placeholder that looks like it', () => {
    expect(placeholder).toMatch(/^ghp_tagalong[0-9a-f]{36}$/);
    expect(placeholder).not.toContain(value);
  });

  test('the value is on the wire in headers, Basic authentication too, and in bodies small and in chunks', async () => {
    await curl(
      door,
      'https://api.example.com/v',
      '-H',
      `X-Token: key ${placeholder}`,
      '-u',
      `me:${placeholder}`,
    );
    expect(sent('x-token')).toBe(`key ${value}`);
    expect(sent('authorization')).toBe(`Basic ${Buffer.from(`me:${value}`).toString('base64')}`);
    await curl(door, 'https://api.example.com/v', '-d', `{"token":"${placeholder}","ü":1}`);
    expect(upstream.seen.at(-1)?.body).toBe(`{"token":"${value}","ü":1}`);
    await curl(
      door,
      'https://api.example.com/v',
      '-H',
      'Transfer-Encoding: chunked',
      '-d',
      `a=${placeholder}&b=${placeholder}`,
    );
    expect(upstream.seen.at(-1)?.body).toBe(`a=${value}&b=${value}`);
  });

  test('towards another host, and in a URL, it is refused and recorded', async () => {
    for (const args of [
      ['https://other.example.com/v', '-H', `X-Token: ${placeholder}`],
      ['https://other.example.com/v', '-u', `me:${placeholder}`],
      [`https://api.example.com/v?token=${placeholder}`],
    ]) {
      const { stdout } = await curl(door, ...args);
      expect(JSON.parse(stdout).error.rule).toBe('credential.placeholder');
    }
    expect(upstream.seen).toEqual([]);
    expect((await world.records(fixture.sessionId)).at(-1)).toMatchObject({
      decision: 'refused',
      rule: 'credential.placeholder',
    });
  });

  test('the value does not come back', async () => {
    upstream.answer = (request, response) => response.end(`you said ${request.headers['x-token']}`);
    const { stdout } = await curl(door, 'https://api.example.com/v', '-H', `X-Token: ${placeholder}`);
    expect(stdout).toBe(`you said ${'*'.repeat(value.length)}`);
  });
});

describe('mcp_oauth', () => {
  let refreshes: string[] = [];
  let valid = '';
  let tokenAnswer: (refreshToken: string) => { status: number; body: unknown };

  const oauth = (path: string, more: object = {}, authentication: object = { type: 'none' }) => ({
    type: 'mcp_oauth',
    access_token: 'access-token-0',
    mcp_server_url: `https://mcp.example.com${path}`,
    expires_at: '2000-01-01T00:00:00Z',
    refresh: {
      client_id: 'the client',
      refresh_token: 'refresh-token-0',
      token_endpoint: 'https://auth.example.com/token',
      token_endpoint_auth: authentication,
    },
    ...more,
  });

  beforeEach(() => {
    refreshes = [];
    valid = '';
    let count = 0;
    tokenAnswer = () => {
      count += 1;
      valid = `access-token-${count}-${randomBytes(4).toString('hex')}`;
      return {
        status: 200,
        body: { access_token: valid, refresh_token: `refresh-token-${count}`, expires_in: 3600 },
      };
    };
    upstream.answer = async (request, response, { body }) => {
      if (request.url === '/token') {
        refreshes.push(body);
        await new Promise((resolve) => setTimeout(resolve, 100));
        const answer = tokenAnswer(new URLSearchParams(body).get('refresh_token') ?? '');
        response
          .writeHead(answer.status, { 'content-type': 'application/json' })
          .end(JSON.stringify(answer.body));
      } else {
        const ok = request.headers.authorization === `Bearer ${valid}`;
        response.writeHead(ok ? 200 : 401).end(ok ? 'in' : 'out');
      }
    };
  });

  test('64 waiters at three doors on an expired one make one refresh, and all get in', async () => {
    await store(oauth('/one'));
    const others = [
      await startTestEgress(database, { upstreams }),
      await startTestEgress(database, { upstreams }),
    ];
    const doors = [await reopen(), ...(await Promise.all(others.map((each) => each.open(fixture))))];
    const answers = await Promise.all(
      Array.from({ length: 64 }, (_, i) => curl(doors[i % 3] as Door, 'https://mcp.example.com/one')),
    );
    expect(new Set(answers.map(({ stdout }) => stdout))).toEqual(new Set(['in']));
    expect(refreshes).toHaveLength(1);
    expect(Object.fromEntries(new URLSearchParams(refreshes[0]))).toEqual({
      grant_type: 'refresh_token',
      refresh_token: 'refresh-token-0',
      client_id: 'the client',
    });
    // A process that starts later reads what was stored.
    const later = await startTestEgress(database, { upstreams });
    expect((await curl(await later.open(fixture), 'https://mcp.example.com/one')).stdout).toBe('in');
    expect(refreshes).toHaveLength(1);
  });

  test('one that the server does not take any more is refreshed and the request sent once more', async () => {
    await store(
      oauth(
        '/two',
        { expires_at: '2099-01-01T00:00:00Z' },
        { type: 'client_secret_basic', client_secret: 'client+secret/1' },
      ),
    );
    door = await reopen();
    expect((await curl(door, 'https://mcp.example.com/two', '-d', 'again')).stdout).toBe('in');
    expect(refreshes).toHaveLength(1);
    const asked = upstream.seen.find(({ url }) => url === '/token');
    expect(asked?.headers.authorization).toBe(
      `Basic ${Buffer.from('the+client:client%2Bsecret%2F1').toString('base64')}`,
    );
    expect(upstream.seen.filter(({ url }) => url === '/two').map(({ body }) => body)).toEqual([
      'again',
      'again',
    ]);
  });

  test('a server that says no is asked once, the credential says so, and the agent sees the 401', async () => {
    const id = await store(
      oauth('/three', {}, { type: 'client_secret_post', client_secret: 'client-secret-1' }),
    );
    tokenAnswer = () => ({ status: 400, body: { error: 'invalid_grant' } });
    door = await reopen();
    for (let i = 0; i < 3; i++) {
      expect((await curl(door, '-w', '%{http_code}', 'https://mcp.example.com/three')).stdout).toBe('out401');
    }
    expect(refreshes).toHaveLength(1);
    expect(refreshes[0]).toContain('client_secret=client-secret-1');
    const [row] = await database.database.select().from(credentials).where(eq(credentials.id, id));
    expect(row?.detail).toMatchObject({ oauth: { refused: expect.stringContaining('400') } });
  });

  test('a server that is down is not asked by every request', async () => {
    await store(oauth('/four'));
    tokenAnswer = () => ({ status: 503, body: {} });
    door = await reopen();
    for (let i = 0; i < 3; i++) expect((await curl(door, 'https://mcp.example.com/four')).stdout).toBe('out');
    expect(refreshes).toHaveLength(1);
  });

  test('a new refresh token replaces the old one, and none leaves it as it is', async () => {
    const id = await store(oauth('/five'));
    tokenAnswer = (token) => {
      valid = `access-token-for-${token}`;
      return { status: 200, body: { access_token: valid, expires_in: 1 } };
    };
    door = await reopen();
    await curl(door, 'https://mcp.example.com/five');
    await curl(door, 'https://mcp.example.com/five');
    expect(refreshes.map((form) => new URLSearchParams(form).get('refresh_token'))).toEqual([
      'refresh-token-0',
      'refresh-token-0',
    ]);
    const [row] = await database.database.select().from(credentials).where(eq(credentials.id, id));
    expect(row?.version).toBe(3);
  });
});

test('an archived credential, and a vault that is not the session’s, are not used', async () => {
  const token = secret();
  const id = await store({ type: 'static_bearer', token, match: match('other.example.com', '/gone') });
  door = await reopen();
  await curl(door, 'https://other.example.com/gone');
  expect(sent('authorization')).toBe(`Bearer ${token}`);
  await database.database.update(credentials).set({ archivedAt: new Date() }).where(eq(credentials.id, id));
  door = await reopen();
  await curl(door, 'https://other.example.com/gone');
  expect(sent('authorization')).toBeUndefined();
  const stranger = await createFixture(database.database, {
    provider: 'slack',
    policy: { allowed_hosts: hosts },
  });
  await database.database
    .update(sessions)
    .set({ vaultIds: [vaultId] })
    .where(eq(sessions.id, stranger.sessionId));
  const theirs = await world.open(stranger);
  await curl(theirs, 'https://api.example.com/bearer');
  expect(sent('authorization')).toBeUndefined();
});
