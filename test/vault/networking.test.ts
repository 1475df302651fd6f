import { readFileSync } from 'node:fs';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from 'vitest';
import { newId } from '../../src/store/ids.ts';
import { credentials, environments, publications, sessions, vaults } from '../../src/store/schema.ts';
import {
  findAllowedHost,
  parseAllowedHost,
  parseAllowedHosts,
} from '../../src/vault/egress/allowed-hosts.ts';
import { noNetworking, readNetworking } from '../../src/vault/egress/networking.ts';
import { readCeiling, withOwnUpstreams } from '../../src/vault/egress/operator-settings.ts';
import { organizationPublicKey } from '../../src/vault/keys.ts';
import { credentialBinding, sealCredential } from '../../src/vault/seal.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { curl, type Door } from './support/client.ts';
import { rootKey, startTestEgress } from './support/egress.ts';
import { startUpstream } from './support/upstream.ts';

const ssrf = JSON.parse(readFileSync(new URL('./data/ssrf-corpus.json', import.meta.url), 'utf8')) as {
  host: string;
}[];

describe('allowed hosts', () => {
  it.each([
    ['example.com', { kind: 'exact', name: 'example.com' }],
    ['EXAMPLE.com.:443', { kind: 'exact', name: 'example.com' }],
    ['*.example.com:8443', { kind: 'below', name: 'example.com', port: 8443 }],
    ['example.com/', { kind: 'exact', name: 'example.com' }],
    ['Example.com/v1/Users/', { kind: 'exact', name: 'example.com', segments: ['v1', 'Users'] }],
    ['*.example.com:8443/v1', { kind: 'below', name: 'example.com', port: 8443, segments: ['v1'] }],
    ['example.com/a%20b', { kind: 'exact', name: 'example.com', segments: ['a%20b'] }],
  ])('%s', (text, read) => expect(parseAllowedHost(text)).toEqual(read));

  it.each([
    'example.com:0443',
    'example.com:65536',
    'example.com:',
    'example.com:https',
    'example.com:80',
    'example.com:0',
    'example.com:8443:1',
    'https://example.com',
    'https://example.com/x',
    'example.com/v1?x=1',
    'example.com/v1#x',
    'example.com//v1',
    'example.com/v1//x',
    'example.com/v1/../x',
    'example.com/./v1',
    'example.com/v1/..;/x',
    'example.com/%2e%2e/v1',
    'example.com/v1%2f..%2fx',
    'example.com/v1/%252e',
    'example.com/v1%',
    'example.com/v1%00',
    'example.com/v 1',
    'example.com/v1\\x',
    'example.com/v1/*',
    'example.com/v1,v2',
    'example.com/é',
    'example.com:/v1',
    '/v1',
    '*/v1',
    'localhost/v1',
    '127.0.0.1/v1',
    'localhost:8443',
    '127.0.0.1:8443',
    '[::1]:8443',
    '*:8443',
    '*.com:443',
    '',
    null,
    ['example.com'],
  ])('%j allows nothing', (text) => expect(parseAllowedHost(text)).toBeUndefined());

  it('holds no address in any spelling', () => {
    expect(ssrf.length).toBeGreaterThan(50);
    for (const { host } of ssrf) {
      for (const text of [host, `[${host}]`, `${host}:8443`, `*.${host}`]) {
        expect(parseAllowedHost(text), text).toBeUndefined();
      }
    }
  });
});

test('what a list opens is what a slow, obvious reading of it says', () => {
  let seed = 3;
  const one = <T>(of: readonly T[]): T => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return of[Math.floor((seed / 2 ** 32) * of.length)] as T;
  };
  const labels = ['a', 'b', 'ab', 'x-a'];
  const pieces = ['x', 'y', 'xy', 'X', 'x;y', 'x%2fy'];
  const pathOf = (lengths: readonly number[], ends: readonly string[]) => {
    const path = Array.from({ length: one(lengths) }, () => `/${one(pieces)}`).join('');
    return path + one(ends);
  };
  const obvious = (entry: string, host: string, port: number, path: string | undefined) => {
    const slash = entry.includes('/') ? entry.indexOf('/') : entry.length;
    const [name = '', listed = '443'] = entry.slice(0, slash).split(':');
    if (Number(listed) !== port) return false;
    const prefix = entry.slice(slash).replace(/\/$/, '');
    if (path !== undefined && path !== prefix && !path.startsWith(`${prefix}/`)) return false;
    if (!name.startsWith('*.')) return name === host;
    const [asked, suffix] = [host.split('.'), name.slice(2).split('.')];
    return asked.length > suffix.length && suffix.every((label, i) => asked.at(i - suffix.length) === label);
  };
  const rounds = process.env.TAGALONG_TEST_FULL === '1' ? 1_000_000 : 20_000;
  let opened = 0;
  for (let i = 0; i < rounds; i++) {
    const list = Array.from({ length: one([0, 1, 2, 3]) }, () => {
      const name = [...Array.from({ length: one([0, 1, 2]) }, () => one(labels)), one(labels), 'example'];
      const path = pathOf([0, 0, 1, 2], ['', '/']);
      return `${one(['', '*.'])}${name.join('.')}${one(['', '', ':443', ':8443'])}${path}`;
    }).filter((entry) => parseAllowedHost(entry) !== undefined);
    const host = [...Array.from({ length: one([1, 2, 3]) }, () => one(labels)), 'example'].join('.');
    const port = one([443, 8443, 8444]);
    const path = one([true, true, false]) ? `${pathOf([0, 1, 2, 3], ['']) || '/'}` : undefined;
    const isOpen = findAllowedHost(parseAllowedHosts(list), host, port, path) !== undefined;
    if (isOpen) opened += 1;
    expect({ list, host, port, path, isOpen }).toEqual({
      ...{ list, host, port, path },
      isOpen: list.some((entry) => obvious(entry, host, port, path)),
    });
  }
  expect(opened).toBeGreaterThan(rounds / 100);
});

describe('an environment that cannot be understood', () => {
  it.each([
    undefined,
    null,
    'unrestricted',
    [],
    {},
    { networking: { type: 'unrestricted' } },
    { type: 'self_hosted', networking: { type: 'unrestricted' } },
    { type: 'cloud', networking: 'unrestricted' },
    { type: 'cloud', networking: [{ type: 'unrestricted' }] },
    { type: 'cloud', networking: { type: 'Unrestricted' } },
    { type: 'cloud', networking: { type: 'limited', allowed_hosts: '*', allow_mcp_servers: 'true' } },
    {
      type: 'cloud',
      networking: { type: 'limited', allowed_hosts: ['*', 1, null], allow_package_managers: 1 },
    },
  ])('%j allows nothing', (config) => expect(readNetworking(config)).toEqual(noNetworking));
});

describe('what the operator sets', () => {
  it('is refused whole when an entry of the bound cannot be understood', () => {
    expect(() => readCeiling(['example.com', '*', '10.0.0.1'])).toThrow(/"\*".*\n.*"10\.0\.0\.1"/);
    expect(readCeiling(undefined)).toBeUndefined();
    expect(readCeiling([])).toEqual([]);
  });
  it('maps names of its own, and none of a vendor', () => {
    const target = 'http://10.0.0.5:8081/';
    expect(withOwnUpstreams([], [{ host: 'packages.example.com', target }])).toEqual([
      { host: 'packages.example.com', pathPrefix: '/', target, scope: 'all' },
    ]);
    for (const host of ['slack.com', 'localhost', '*.example.com', 'a.example.com:81', '127.0.0.1']) {
      expect(() => withOwnUpstreams([], [{ host, target }]), host).toThrow('TAGALONG_UPSTREAMS');
    }
  });
});

describe('sessions in environments', () => {
  let now = Date.now();
  let door: Door;
  const environmentId = newId('env');
  const limited = (more: object) => ({ type: 'cloud', networking: { type: 'limited', ...more } });
  const unrestricted = { type: 'cloud', networking: { type: 'unrestricted' } };

  const set = async () => {
    const database = await createTestDatabase();
    const upstream = await startUpstream();
    const fixture = await createFixture(database.database, { provider: 'slack' });
    const upstreams = [
      {
        host: 'packages.corp.example',
        pathPrefix: '/',
        target: `${upstream.origin}/`,
        scope: 'all' as const,
      },
      { host: 'api.anthropic.com', pathPrefix: '/', target: `${upstream.origin}/`, scope: 'all' as const },
    ];
    const world = await startTestEgress(database, { upstreams }, { now: () => now });
    const bounded = await startTestEgress(
      database,
      { upstreams, allowedHosts: ['*.inside.example', 'pypi.org'] },
      { now: () => now },
    );
    for (const { network } of [world, bounded]) {
      network.machines.set('93.184.216.34', upstream.port);
      for (const host of [
        'a.inside.example',
        'outside.example',
        'registry.npmjs.org',
        'pypi.org',
        'mcp.example.com',
      ]) {
        network.names.set(host, ['93.184.216.34']);
      }
      network.names.set('rebound.example', ['10.0.0.1', '127.0.0.1', '169.254.169.254']);
    }
    return { database: database.database, upstream, fixture, world, bounded };
  };
  let t: Awaited<ReturnType<typeof set>>;

  beforeAll(async () => {
    t = await set();
    const { organizationId, sessionId } = t.fixture;
    await t.database
      .insert(environments)
      .values({ id: environmentId, organizationId, name: 'e', config: limited({}) });
    await t.database.update(sessions).set({ environmentId }).where(eq(sessions.id, sessionId));
    door = await t.world.open(t.fixture);
  });
  afterAll(() => t.upstream.close());
  beforeEach(() => {
    t.upstream.seen.length = 0;
  });

  const change = async (config: Record<string, unknown>) => {
    await t.database.update(environments).set({ config }).where(eq(environments.id, environmentId));
    now += 1_001;
  };
  /** The rule that refused, or the status of the upstream. */
  const ask = async (url: string, ...more: string[]) => {
    const { stdout, stderr } = await curl(door, '-w', '%{http_code}', url, ...more);
    if (stdout === '000') return /Egress \w+: (\S+)/.exec(stderr)?.[1] ?? `${stdout} ${stderr}`;
    return /"rule":"([^"]*)"/.exec(stdout)?.[1] ?? stdout.slice(-3);
  };
  const refusal = async (url: string) => {
    const { stderr } = await curl(door, '-v', url);
    return /< HTTP\/1\.1 403 Egress refused: (\S+)/.exec(stderr)?.[1] ?? stderr;
  };

  test('nothing is open in a new one, and a list opens just what it names, within a second', async () => {
    expect(await refusal('https://outside.example/')).toBe('host.not_allowed');
    await change(limited({ allowed_hosts: ['*.inside.example'] }));
    expect(await ask('https://a.inside.example/x')).toBe('200');
    expect(await refusal('https://outside.example/')).toBe('host.not_allowed');
    expect((await t.world.records(t.fixture.sessionId)).map(({ rule }) => rule)).toContain(
      'environment:*.inside.example',
    );
    await change({ type: 'cloud', networking: { type: 'limitless' } });
    expect(await refusal('https://a.inside.example/x')).toBe('host.not_allowed');
  });

  test('a port opens by being listed, by https, and gets no credential', async () => {
    await change(limited({ allowed_hosts: ['a.inside.example:8443'] }));
    expect(await refusal('https://a.inside.example/')).toBe('host.not_allowed');
    expect(await refusal('https://a.inside.example:9443/')).toBe('host.not_allowed');
    expect(await ask('https://a.inside.example:8443/x')).toBe('200');
    expect(t.world.network.dialled.at(-1)).toBe('93.184.216.34:8443');
    expect(t.upstream.seen.at(-1)?.headers.host).toBe('a.inside.example:8443');
    await change(limited({ allowed_hosts: ['a.inside.example'] }));
    expect(await refusal('https://a.inside.example:8443/')).toBe('port.not_allowed');
    expect(await ask('http://a.inside.example/')).toBe('scheme.https_only');
    expect(t.world.network.dialled.at(-1)).toBe('93.184.216.34:8443');
  });

  test('unrestricted is every public host by https on 443, and nothing else', async () => {
    await change(unrestricted);
    expect(await ask('https://outside.example/')).toBe('200');
    expect(await ask('https://rebound.example/')).toBe('address.not_public');
    expect(await ask('http://outside.example/')).toBe('scheme.https_only');
    expect(await refusal('https://outside.example:8443/')).toBe('port.not_allowed');
    expect(await refusal('https://metadata.google.internal/')).toBe('host.not_allowed');
    expect(await refusal('https://slack.com/api/chat.postMessage')).toBe('host.tools_only');
    expect(await refusal('https://files.slack.com/upload/v1/x')).toBe('host.tools_only');
    // What the operator maps may lead inside.
    expect(await refusal('https://packages.corp.example/')).toBe('host.not_allowed');
    for (const { host } of ssrf.filter((each) => /^[\w.:-]+$/.test(each.host)).slice(0, 40)) {
      const { stderr } = await curl(door, '-v', '-g', `https://${host.includes(':') ? `[${host}]` : host}/`);
      expect(stderr, host).toMatch(/Egress refused: host\.(ip_literal|malformed|not_allowed)|URL|resolve/i);
    }
    await change(limited({ allowed_hosts: ['packages.corp.example'] }));
    expect(await ask('https://packages.corp.example/simple/')).toBe('200');
  });

  test('package registries are read and not written', async () => {
    await change(limited({ allow_package_managers: true }));
    expect(await ask('https://registry.npmjs.org/left-pad')).toBe('200');
    expect(await ask('https://pypi.org/simple/', '-I')).toBe('200');
    for (const args of [
      ['-X', 'PUT', '-d', '{}'],
      ['-X', 'POST'],
      ['-X', 'DELETE'],
      ['-X', 'GET', '-d', 'a body'],
    ]) {
      expect(await ask('https://registry.npmjs.org/left-pad', ...args), args.join(' ')).toBe(
        'packages.read_only',
      );
    }
    expect(t.upstream.seen.map(({ method }) => method)).toEqual(['GET', 'HEAD']);
    const rules = (await t.world.records(t.fixture.sessionId)).map(({ rule }) => rule);
    expect(rules).toContain('packages:npm');
    expect(rules).toContain('packages:pip');
    await change(limited({ allowed_hosts: ['registry.npmjs.org'], allow_package_managers: true }));
    expect(await ask('https://registry.npmjs.org/left-pad', '-X', 'PUT', '-d', '{}')).toBe('200');
  });

  test('the MCP servers of its vaults open where that is allowed', async () => {
    const { organizationId, sessionId } = t.fixture;
    const [vaultId, id] = [newId('vlt'), newId('cred')];
    await t.database.insert(vaults).values({ id: vaultId, organizationId, displayName: 'v' });
    await t.database.insert(credentials).values({
      ...{ id, organizationId, vaultId, kind: 'static_bearer', displayName: 'MCP' },
      detail: {
        auth: { type: 'static_bearer', mcp_server_url: 'https://mcp.example.com/mcp' },
        metadata: {},
        rule: { host: 'mcp.example.com', path_prefix: '/mcp', methods: null },
      },
      sealed: await sealCredential(
        organizationPublicKey(rootKey, organizationId),
        credentialBinding(organizationId, id),
        { token: 'mcp-token-0123' },
      ),
    });
    await t.database
      .update(sessions)
      .set({ vaultIds: [vaultId] })
      .where(eq(sessions.id, sessionId));
    await change(limited({}));
    expect(await refusal('https://mcp.example.com/mcp')).toBe('host.not_allowed');
    await change(limited({ allow_mcp_servers: true }));
    expect(await ask('https://mcp.example.com/mcp')).toBe('200');
    expect(t.upstream.seen.at(-1)?.headers.authorization).toBe('Bearer mcp-token-0123');
    expect(await refusal('https://outside.example/')).toBe('host.not_allowed');
  });

  test("the model's vendor may reach out only for a session that may itself", async () => {
    const body = JSON.stringify({
      messages: [],
      mcp_servers: [{ type: 'url', url: 'https://x.example' }],
      tools: [{ type: 'web_search_20250305', name: 'web_search' }],
    });
    const model = 'https://api.anthropic.com/v1/messages';
    await change(limited({ allowed_hosts: ['*.inside.example'] }));
    expect(await ask(model, '-d', body)).toBe('model.mcp_servers');
    await change(unrestricted);
    expect(await ask(model, '-d', body)).toBe('200');
    expect(JSON.parse(t.upstream.seen.at(-1)?.body ?? '')).toEqual(JSON.parse(body));
    expect(await ask(model, '-d', '[]')).toBe('model.body');
  });

  test("nothing exceeds the operator's bound, neither unrestricted nor a list, nor the model's vendor", async () => {
    const own = door;
    door = await t.bounded.open(t.fixture);
    await change(unrestricted);
    expect(await ask('https://a.inside.example/')).toBe('200');
    expect(await refusal('https://outside.example/')).toBe('host.ceiling');
    const model = 'https://api.anthropic.com/v1/messages';
    expect(await ask(model, '-d', '{"messages":[],"mcp_servers":[{"url":"x"}]}')).toBe('model.mcp_servers');
    await change(limited({ allowed_hosts: ['outside.example'], allow_package_managers: true }));
    expect(await refusal('https://outside.example/')).toBe('host.ceiling');
    expect(await refusal('https://registry.npmjs.org/')).toBe('host.ceiling');
    expect(await ask('https://pypi.org/simple/')).toBe('200');
    door = own;
  });

  test("a publication's environment counts for sessions without one, and its list beside either", async () => {
    const { sessionId, publicationId } = t.fixture;
    const policy = { environment_id: environmentId, allowed_hosts: ['outside.example'] };
    await t.database.update(publications).set({ policy }).where(eq(publications.id, publicationId));
    await t.database.update(sessions).set({ environmentId: null }).where(eq(sessions.id, sessionId));
    await change(limited({ allowed_hosts: ['a.inside.example'] }));
    expect(await ask('https://a.inside.example/')).toBe('200');
    expect(await ask('https://outside.example/')).toBe('200');
    await t.database
      .update(publications)
      .set({ policy: { environment_id: 'env_of_nobody' } })
      .where(eq(publications.id, publicationId));
    now += 1_001;
    expect(await refusal('https://a.inside.example/')).toBe('host.not_allowed');
  });
});
