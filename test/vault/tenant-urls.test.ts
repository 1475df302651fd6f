import { readFileSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import { authInput } from '../../src/gateway/rest/credential-input.ts';
import { environmentInput } from '../../src/gateway/rest/environment-input.ts';
import { PlatformPools } from '../../src/vault/egress/platform-pools.ts';
import { type EgressRecord, Recorder } from '../../src/vault/egress/records.ts';
import { UpstreamMap } from '../../src/vault/egress/upstreams.ts';
import { FakeNetwork, silent } from './support/egress.ts';

const corpus = JSON.parse(readFileSync(new URL('./data/ssrf-corpus.json', import.meta.url), 'utf8')) as {
  host: string;
  expect: 'deny' | 'allow';
}[];
const hosts = corpus.map(({ host }) => host);
const secret = 'secret-0123456789';
const oauth = (mcp: string, endpoint: string) => ({
  type: 'mcp_oauth',
  access_token: secret,
  mcp_server_url: mcp,
  refresh: {
    client_id: 'c',
    refresh_token: secret,
    token_endpoint: endpoint,
    token_endpoint_auth: { type: 'none' },
  },
});
const fine = 'https://fine.example.com/';

/** Every URL or host that a tenant can set, and which somebody here later connects to. */
const fields: Record<string, (host: string, url: string) => { success: boolean }> = {
  'the URL of an MCP server, of a fixed token': (_, url) =>
    authInput.safeParse({ type: 'static_bearer', token: secret, mcp_server_url: url }),
  'the URL of an MCP server, of OAuth': (_, url) => authInput.safeParse(oauth(url, fine)),
  'a token endpoint': (_, url) => authInput.safeParse(oauth(fine, url)),
  'the host of a rule': (host) =>
    authInput.safeParse({ type: 'static_bearer', token: secret, match: { host } }),
  'the hosts of a variable': (host) =>
    authInput.safeParse({
      type: 'environment_variable',
      secret_name: 'A',
      secret_value: secret,
      networking: { type: 'limited', allowed_hosts: [host] },
    }),
  'the hosts of an environment': (host) =>
    environmentInput.safeParse({
      name: 'e',
      config: { type: 'cloud', networking: { type: 'limited', allowed_hosts: [host] } },
    }),
};

describe.each(Object.entries(fields))('%s', (_, parse) => {
  it('takes a public name', () => {
    expect(parse('fine.example.com', fine).success).toBe(true);
  });
  it('takes no address, however it is written', () => {
    for (const host of hosts) {
      for (const written of [host, `[${host}]`, `${host}.`, host.toUpperCase()]) {
        expect(parse(written, `https://${written}/`).success, written).toBe(false);
      }
    }
  });
  it.each([
    'localhost',
    'metadata.google.internal',
    'printer.local',
    'host.docker.internal.',
    'fine.example.com@127.0.0.1',
    '127.0.0.1#fine.example.com',
    '127.0.0.1\\fine.example.com',
    'fine.example.com%2f@127.0.0.1',
    'intranet',
    '',
  ])('takes no name that leads inside, nor one that hides an address: %j', (host) => {
    expect(parse(host, `https://${host}/`).success).toBe(false);
  });
});

test.each([
  'http://fine.example.com/',
  'https://user:pass@fine.example.com/',
  'file:///etc/passwd',
  'gopher://fine.example.com/',
])('no URL of a tenant is %s', (url) => {
  for (const parse of [fields['a token endpoint'], fields['the URL of an MCP server, of OAuth']]) {
    expect(parse?.('fine.example.com', url).success).toBe(false);
  }
});

test('a token endpoint whose name leads inside is not dialled, whatever its resolver answers', async () => {
  const network = new FakeNetwork();
  const written: EgressRecord[] = [];
  const recorder = new Recorder({ write: async (rows) => void written.push(...rows), logger: silent });
  const pools = new PlatformPools({ network, upstreams: new UpstreamMap([]), recorder, now: Date.now });
  const denied = corpus.filter((row) => row.expect === 'deny');
  for (const [i, { host }] of denied.entries()) {
    const name = `n${i}.example.com`;
    network.names.set(name, [host]);
    const asked = pools.askTokenEndpoint(
      'org_a',
      new URL(`https://${name}/token`),
      {},
      new URLSearchParams(),
    );
    await expect(asked, host).rejects.toMatchObject({ refusal: { rule: 'address.not_public' } });
  }
  expect(network.dialled).toEqual([]);
  await recorder.stop();
  expect(written).toHaveLength(denied.length);
  expect(new Set(written.map(({ rule }) => rule))).toEqual(new Set(['address.not_public']));
  await pools.destroy();
});

test("a token endpoint beyond the operator's bound is not even looked up", async () => {
  const network = new FakeNetwork();
  const recorder = new Recorder({ write: async () => {}, logger: silent });
  const ceiling = [{ kind: 'below' as const, name: 'inside.example' }];
  const pools = new PlatformPools({
    network,
    upstreams: new UpstreamMap([]),
    ceiling,
    recorder,
    now: Date.now,
  });
  const ask = (url: string) => pools.askTokenEndpoint('org_a', new URL(url), {}, new URLSearchParams());
  await expect(ask('https://auth.example.com/token')).rejects.toMatchObject({
    refusal: { rule: 'host.ceiling' },
  });
  expect(network.lookups).toEqual([]);
  await expect(ask('https://auth.inside.example/token')).rejects.toMatchObject({
    refusal: { rule: 'upstream.unresolved' },
  });
  expect(network.lookups).toEqual(['auth.inside.example']);
  await recorder.stop();
  await pools.destroy();
});
