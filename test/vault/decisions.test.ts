import { describe, expect, it } from 'vitest';
import { isPublicAddress } from '../../src/vault/egress/addresses.ts';
import { parseAllowedHosts } from '../../src/vault/egress/allowed-hosts.ts';
import {
  forwardedRequestHeaders,
  forwardedResponseHeaders,
  withHeader,
} from '../../src/vault/egress/header-rules.ts';
import {
  canonicalHost,
  matchesHost,
  parseAuthority,
  parseHostPattern,
} from '../../src/vault/egress/host-names.ts';
import { checkModelBody, modelEndpoint } from '../../src/vault/egress/model-door.ts';
import { noNetworking, readNetworking } from '../../src/vault/egress/networking.ts';
import { decideProviderRequest, type RequestNeeds } from '../../src/vault/egress/provider-door.ts';
import { checkRequest } from '../../src/vault/egress/request-gate.ts';
import { parseTarget } from '../../src/vault/egress/request-target.ts';
import { decideDestination, type SessionPolicy } from '../../src/vault/egress/session-policy.ts';
import { UpstreamMap } from '../../src/vault/egress/upstreams.ts';

const matches = (pattern: string, host: string) => {
  const parsed = parseHostPattern(pattern);
  const name = canonicalHost(host);
  return parsed !== undefined && name.ok && matchesHost(parsed, name.host);
};

describe('host names', () => {
  it.each(['github.com', 'GITHUB.com', 'github.com.', 'github。com'])('%s is github.com', (host) => {
    expect(matches('github.com', host)).toBe(true);
  });

  it.each([
    'evilgithub.com',
    'github.com.evil.com',
    'xgithub.com',
    'github.co',
    'github.com..',
    '[github.com]',
    'github.com%00.evil',
    'github.com\0.evil.com',
    'github.com\r\n',
    'git hub.com',
    'github.com\t',
    'gіthub.com',
    '%67ithub.com',
    'github.com@evil.com',
    'github.com/',
    'github.com?',
    'github.com#',
    '',
    '.',
    '.github.com',
    'x.github.com',
    `${'a'.repeat(64)}.com`,
  ])('%j is not github.com', (host) => {
    expect(matches('github.com', host)).toBe(false);
  });

  it('means every name below by a wildcard, and not the suffix itself', () => {
    expect(['a.github.com', 'a.b.github.com'].map((host) => matches('*.github.com', host))).toEqual([
      true,
      true,
    ]);
    for (const host of ['github.com', 'github.com.evil.com', '.github.com', 'xgithub.com']) {
      expect(matches('*.github.com', host), host).toBe(false);
    }
  });

  it.each([
    '*',
    '*.',
    '*.com',
    '*.co.uk',
    '*.github.io',
    'a*b.com',
    'api.*.x.com',
    'u@a.com',
    'a.com/x',
    'a .com',
    '*.localhost',
    'localhost',
    'com',
    'metadata.google.internal',
    '127.0.0.1',
    '[::1]',
    '**.a.com',
    '*.*.com',
    '',
    null,
    7,
    { a: 1 },
  ])('the rule %j allows nothing', (rule) => expect(parseHostPattern(rule)).toBeUndefined());

  it('reads authorities in one way only', () => {
    expect(parseAuthority('GitHub.com.:443')).toEqual({ ok: true, host: 'github.com', port: 443 });
    expect(parseAuthority('github.com', 80)).toEqual({ ok: true, host: 'github.com', port: 80 });
    for (const bad of [
      'github.com',
      'github.com:',
      'github.com:0443',
      'github.com:65536',
      'github.com:https',
      'github.com:0',
      ':443',
      'a:1:2',
      'u@github.com:443',
      'github.com:+443',
    ]) {
      expect(parseAuthority(bad), bad).toMatchObject({ ok: false });
    }
    for (const literal of [
      '127.1:443',
      '0x7f.1:443',
      '[::1]:443',
      '2130706433:80',
      '1.2.3.4.:443',
      '①②⑦.⓪.⓪.①:443',
      '::1',
    ]) {
      expect(parseAuthority(literal), literal).toEqual({ ok: false, reason: 'ip_literal' });
    }
  });
});

describe('addresses', () => {
  it.each(['1.1.1.1', '2606:4700:4700::1111', '2a00:1450:4001:81b::200e', '100.63.255.255', '172.32.0.1'])(
    '%s is public',
    (address) => expect(isPublicAddress(address)).toBe(true),
  );
  it.each([
    '',
    'x',
    '1.1.1.1.',
    '01.1.1.1',
    '1.1.1.1%eth0',
    '2606:4700::1%eth0',
    '::ffff:1.1.1.1',
    '168.63.129.16',
    '2001:0:1::',
    'localhost',
    '100.127.255.255',
    '172.31.255.255',
  ])('%j is not', (address) => expect(isPublicAddress(address)).toBe(false));
});

describe('request targets', () => {
  it.each([
    '/',
    '/a/b?x=../y//z\\',
    '/@scope%2fname',
    '/a.b/c..d',
    '/repos/o/r/contents/a%20b',
    '/x?a=%2e%2e',
  ])('%s has one meaning', (url) => expect(parseTarget(url).ok).toBe(true));
  it.each([
    '',
    'a',
    '*',
    '//evil/a',
    '/a//b',
    '/a/../b',
    '/a/..',
    '/./a',
    '/a/%2e%2E/b',
    '/a/%2e',
    '/a%2f..%2fb',
    '/a%5c..%5cb',
    '/a/..%2fb',
    '/a\\b',
    '/a#b',
    '/a%00',
    '/a%0d%0ab',
    '/a%7f',
    '/a%',
    '/a%zz',
    '/a%252e%252e/b',
    '/a%252fb',
    '/a/..;/b',
    '/é',
    '/a b',
    '/a\tb',
    'http://x/',
    '/a?b#c',
  ])('%s has not', (url) => expect(parseTarget(url).ok).toBe(false));
});

describe('the request gate', () => {
  const head = (rawHeaders: string[], more = {}) =>
    checkRequest(
      {
        method: 'POST',
        url: '/a',
        httpVersion: '1.1',
        rawHeaders: ['Host', 'h.example.com', ...rawHeaders],
        ...more,
      },
      'h.example.com',
      443,
    );
  const status = (result: ReturnType<typeof head>) => (result.ok ? 200 : result.refusal.status);

  it('passes what is plain', () => {
    expect(head(['content-length', '3'])).toMatchObject({
      ok: true,
      request: { body: { kind: 'length', bytes: 3 } },
    });
    expect(head(['transfer-encoding', 'Chunked'])).toMatchObject({
      request: { body: { kind: 'chunked' } },
    });
    expect(head(['expect', '100-Continue', 'content-length', '0'])).toMatchObject({
      request: { body: { kind: 'none' }, expectsContinue: true },
    });
  });

  it.each([
    [['host', 'h.example.com'], 400],
    [['transfer-encoding', 'chunked', 'content-length', '1'], 400],
    [['transfer-encoding', 'identity, chunked'], 400],
    [['transfer-encoding', ' chunked'], 400],
    [['transfer-encoding', 'chunked', 'transfer-encoding', 'chunked'], 400],
    [['content-length', '1', 'content-length', '1'], 400],
    [['content-length', '+1'], 400],
    [['content-length', '0x1'], 400],
    [['content-length', ''], 400],
    [['content-length', '99999999999999999999'], 400],
    [['upgrade', 'websocket'], 501],
    [['expect', '200-ok'], 417],
    [Array(500).fill('x'), 431],
  ])('refuses %j', (headers, expected) => expect(status(head(headers as string[]))).toBe(expected));

  it.each([
    ['TRACE', 405],
    ['TRACK', 405],
    ['CONNECT', 405],
  ])('refuses %s', (method, expected) => expect(status(head([], { method }))).toBe(expected));
  it.each(['1.0', '0.9', '2.0'])('refuses HTTP/%s', (httpVersion) =>
    expect(status(head([], { httpVersion }))).toBe(505),
  );
  it.each([
    [[], 400],
    [['Host', ''], 421],
    [['Host', 'h.example.com, evil'], 421],
    [['Host', 'u@h.example.com'], 421],
    [['Host', 'h.example.com:80'], 421],
  ])('refuses the hosts %j', (rawHeaders, expected) =>
    expect(status(head([], { rawHeaders }))).toBe(expected),
  );
});

describe('headers', () => {
  it('drops credentials in every spelling, and what a Connection header nominates', () => {
    const sent = [
      'AUTHORIZATION',
      'Proxy_Authorization',
      'x.api.key',
      'X_Goog_Api_Key',
      'cookie',
      'Private-Token',
      'x-amz-security-token',
      'X-Forwarded-Host',
      'forwarded',
      'x-tagalong-session',
      'x_tagalong_session',
      'X-HTTP-Method-Override',
      'Metadata-Flavor',
      'TE',
      'Trailer',
      'Keep-Alive',
      'X-Private',
      'Host',
      'Content-Length',
      'Expect',
    ];
    const pairs = sent.flatMap((name) => [name, 'v']);
    expect(forwardedRequestHeaders([...pairs, 'Connection', 'close, X_PRIVATE', 'Accept', '*/*'])).toEqual([
      'Accept',
      '*/*',
    ]);
  });

  it('puts a header on once, whatever was there', () => {
    expect(withHeader(['X_Api_Key', 'a', 'x-api-key', 'b', 'x', 'y'], 'x-api-key', 'ours')).toEqual([
      'x',
      'y',
      'x-api-key',
      'ours',
    ]);
  });

  it('takes what belongs to the connection, and the ways around us, off an answer', () => {
    expect(
      forwardedResponseHeaders([
        'Alt-Svc',
        'h3',
        'Connection',
        'x',
        'X',
        '1',
        'Transfer-Encoding',
        'chunked',
        'X-Tagalong-Egress',
        'refused',
        'etag',
        'e',
      ]),
    ).toEqual(['etag', 'e']);
  });
});

describe('model bodies', () => {
  it.each([
    [
      'messages',
      {
        messages: [{ role: 'user', content: 'hi' }],
        tools: [
          { name: 'x', input_schema: { properties: { source: { type: 'url' } } } },
          { type: 'custom', name: 'y' },
          { type: 'bash_20250124', name: 'bash' },
          { type: 'text_editor_20250728', name: 'e' },
        ],
      },
    ],
    [
      'messages',
      {
        messages: [
          {
            role: 'assistant',
            content: [{ type: 'tool_use', id: '1', name: 'x', input: { source: { type: 'url', url: 'u' } } }],
          },
        ],
        mcp_servers: [],
        tools: null,
      },
    ],
    [
      'messages',
      { messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', data: 'x' } }] }] },
    ],
    [
      'chat',
      {
        messages: [
          { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,x' } }] },
        ],
        tools: [{ type: 'function', function: {} }],
      },
    ],
    ['responses', { input: 'x', tools: [{ type: 'function' }, { type: 'custom' }] }],
    [
      'responses',
      { tools: [{ type: 'namespace', name: 'mcp__slack', description: 'x', tools: [{ type: 'function' }] }] },
    ],
    ['gemini', { contents: [], tools: [{ functionDeclarations: [{}] }, { function_declarations: [{}] }] }],
    ['gemini', { contents: [{ parts: [{ inlineData: { mimeType: 'image/png', data: 'x' } }] }] }],
  ] as const)('%s: %j is let through', (wire, body) => expect(checkModelBody(wire, body)).toBeUndefined());

  it.each([
    ['messages', { mcp_servers: [{}] }],
    ['messages', { mcp_servers: {} }],
    ['messages', { container: { skills: [] } }],
    ['messages', { tools: { type: 'x' } }],
    ['messages', { tools: ['x'] }],
    ['messages', { tools: [{ type: 'web_search_20250305' }] }],
    ['messages', { tools: [{ type: 'code_execution_20250825' }] }],
    ['messages', { tools: [{ type: 'mcp_toolset' }] }],
    ['messages', { tools: [{ type: 'bash_20250124x' }] }],
    ['messages', { tools: [{ type: ['custom'] }] }],
    ['messages', { system: [{ type: 'document', source: { type: 'url', url: 'u' } }] }],
    [
      'messages',
      {
        messages: [
          { content: [{ type: 'tool_result', content: [{ type: 'image', source: { type: 'url' } }] }] },
        ],
      },
    ],
    ['chat', { messages: [{ content: [{ type: 'image_url', image_url: { url: 'https://evil.test' } }] }] }],
    ['chat', { web_search_options: {} }],
    ['chat', { tools: [{}] }],
    ['responses', { tools: [{ type: 'mcp', server_url: 'u' }] }],
    ['responses', { tools: [{ type: 'web_search' }] }],
    ['responses', { input: [{ content: [{ type: 'input_image', image_url: 'https://evil.test' }] }] }],
    ['responses', { input: [{ content: [{ type: 'input_file', file_url: 'https://evil.test' }] }] }],
    ['responses', { prompt: { id: 'p' } }],
    ['responses', { tools: [{ type: 'namespace', tools: [{ type: 'function' }, { type: 'web_search' }] }] }],
    ['responses', { tools: [{ type: 'namespace', server_url: 'u', tools: [] }] }],
    ['responses', { tools: [{ type: 'namespace', tools: [{ type: 'namespace', tools: [] }] }] }],
    ['responses', { tools: [{ type: 'namespace' }] }],
    ['gemini', { tools: [{ googleSearch: {} }] }],
    ['gemini', { tools: [{ functionDeclarations: [], url_context: {} }] }],
    ['gemini', { tools: [{ codeExecution: {} }] }],
    ['gemini', { contents: [{ parts: [{ fileData: { fileUri: 'https://evil.test' } }] }] }],
    ['gemini', { contents: [{ parts: [{ file_data: { file_uri: 'https://evil.test' } }] }] }],
    ['gemini', { cachedContent: 'cachedContents/x' }],
    ['messages', null],
    ['messages', 'x'],
    ['messages', []],
  ] as const)('%s: %j is refused', (wire, body) => expect(checkModelBody(wire, body)).toBeDefined());

  it.each([
    ['google', 'POST', '/v1beta/models/gemini-2.5-pro:streamGenerateContent', 'gemini'],
    ['google', 'POST', '/v1beta/models/gemini-2.5-pro:countTokens', 'gemini'],
    ['google', 'POST', '/v1beta/models/a/b:generateContent', undefined],
    ['google', 'POST', '/v1beta/models/x:batchGenerateContent', undefined],
    ['google', 'POST', '/v1beta/models/*:generateContent', undefined],
    ['google', 'POST', '/v1beta/files', undefined],
    ['google', 'GET', '/v1beta/models/gemini-2.5-pro:generateContent', undefined],
    ['openai', 'POST', '/v1/responses/compact', undefined],
    ['openai', 'POST', '/v1/responses', 'responses'],
  ] as const)('%s: %s %s is the endpoint %s', (model, method, path, wire) => {
    const found = modelEndpoint(model, method, path);
    expect(found.ok ? found.wire : undefined).toBe(wire);
  });

  it('judges a deeply nested body without falling over', () => {
    let deep: unknown = { source: { type: 'url' } };
    for (let i = 0; i < 100_000; i++) deep = [deep];
    expect(checkModelBody('messages', { messages: deep })).toMatchObject({ rule: 'model.url_source' });
  });
});

const policy: SessionPolicy = {
  organizationId: 'org_a',
  sessionId: 'sesn_a',
  ended: false,
  installationId: 'inst_a',
  readOutsiders: false,
  slug: null,
  allowedHosts: [],
  networking: noNetworking,
  passthroughHosts: [],
  credentials: [],
  repositories: ['acme/widgets'],
  publication: { id: 'pub_a', provider: 'github', live: true, emulated: false, grants: {} },
};
const needs: RequestNeeds = {
  github: ({ method, path }) => {
    const repository = /^\/repos\/([^/]+\/[^/]+)/.exec(path)?.[1];
    const at = repository ? { repository } : {};
    if (method === 'PUT' && path.endsWith('/merge'))
      return { ok: true, capability: 'github:pr.merge', ...at };
    if (method === 'POST' && path.endsWith('/issues'))
      return { ok: true, capability: 'github:issue.create', ...at };
    if (method === 'POST' && path.endsWith('/comments'))
      return { ok: true, capability: 'github:comment.write', ...at };
    if (method === 'GET') return { ok: true, capability: 'github:issue.read', ...at };
    return { ok: false, reason: 'no capability is known for it' };
  },
};

describe('the second door', () => {
  const ask = (method: string, path: string, grants = {}) => {
    const publication = policy.publication && { ...policy.publication, grants };
    return decideProviderRequest(
      { ...policy, publication },
      'github',
      { method, path, query: new URLSearchParams() },
      needs,
    );
  };

  it('lets through what is granted in the session own repository, in any case', () => {
    expect(ask('POST', '/repos/Acme/Widgets/issues/1/comments')).toEqual({
      ok: true,
      capability: 'github:comment.write',
      repositories: ['acme/widgets'],
      writes: true,
      elsewhere: false,
      namesBranch: false,
    });
  });
  it('names the capability that is missing', () => {
    expect(ask('PUT', '/repos/acme/widgets/pulls/1/merge')).toMatchObject({
      ok: false,
      refusal: { status: 403, rule: 'github:pr.merge', message: expect.stringContaining('github:pr.merge') },
    });
    expect(ask('PUT', '/repos/acme/widgets/pulls/1/merge', { 'pr.merge': 'on' })).toMatchObject({ ok: true });
  });
  it('sends what needs approval to the tools', () => {
    expect(ask('POST', '/repos/acme/widgets/issues')).toMatchObject({
      ok: false,
      refusal: { rule: 'github:issue.create', message: expect.stringContaining('/mcp/github') },
    });
  });
  it('stays in the repositories of the session unless reading elsewhere is granted', () => {
    expect(ask('GET', '/repos/acme/other/issues')).toMatchObject({
      ok: false,
      refusal: { rule: 'github:read.elsewhere' },
    });
    expect(ask('GET', '/repos/acme/other/issues', { 'read.elsewhere': 'on' })).toMatchObject({
      ok: true,
      repositories: ['acme/other'],
    });
    expect(ask('POST', '/repos/acme/other/issues/1/comments', { 'read.elsewhere': 'on' })).toMatchObject({
      ok: false,
    });
  });
  it('lets a session that has read strangers read its issue, and nothing more, whatever is granted', () => {
    const grants = { 'pr.merge': 'on', 'issue.create': 'on', 'read.elsewhere': 'on' } as const;
    const publication = policy.publication && { ...policy.publication, grants };
    const lowered = (method: string, path: string) =>
      decideProviderRequest(
        { ...policy, publication, readOutsiders: true },
        'github',
        { method, path, query: new URLSearchParams() },
        needs,
      );
    expect(lowered('GET', '/repos/acme/widgets/issues/1')).toMatchObject({ ok: true });
    for (const [method, path] of [
      ['PUT', '/repos/acme/widgets/pulls/1/merge'],
      ['POST', '/repos/acme/widgets/issues'],
      ['POST', '/repos/acme/widgets/issues/1/comments'],
    ] as const) {
      expect(lowered(method, path)).toMatchObject({
        ok: false,
        refusal: { status: 403, message: expect.stringContaining('people without authority') },
      });
    }
    expect(lowered('GET', '/repos/acme/other/issues')).toMatchObject({
      ok: false,
      refusal: { rule: 'github:read.elsewhere' },
    });
  });
  it('refuses what cannot be mapped, and providers without a map', () => {
    expect(ask('PATCH', '/x')).toMatchObject({ ok: false, refusal: { rule: 'github.unmapped' } });
    expect(
      decideProviderRequest(
        policy,
        'slack',
        { method: 'GET', path: '/', query: new URLSearchParams() },
        needs,
      ),
    ).toMatchObject({ ok: false });
  });
});

describe('destinations', () => {
  const upstreams = new UpstreamMap([
    { host: 'api.anthropic.com', pathPrefix: '/', target: 'http://127.0.0.1:4/', scope: 'emulated' },
    { host: 'api.github.com', pathPrefix: '/', target: 'https://ghe.corp.example/api/v3', scope: 'real' },
  ]);
  const rules = { modelCredentials: {}, upstreams };
  const rule = (changed: Partial<SessionPolicy>, host: string, port = 443) => {
    const result = decideDestination({ ...policy, ...changed }, host, port, rules);
    return result.ok ? result.destination.kind : result.refusal.rule;
  };
  const publication = (more: object) => ({
    publication: policy.publication && { ...policy.publication, ...more },
  });

  it('opens model hosts only where a key or a mapping is', () => {
    expect(rule({}, 'api.anthropic.com')).toBe('model.not_configured');
    expect(rule(publication({ emulated: true }), 'api.anthropic.com')).toBe('model');
  });
  it("opens a provider's API to its own live publications", () => {
    expect(rule({}, 'api.github.com')).toBe('provider');
    expect(rule(publication({ live: false }), 'api.github.com')).toBe('publication.not_live');
    expect(rule(publication({ provider: 'slack' }), 'api.github.com')).toBe('host.not_allowed');
    expect(rule({ publication: null }, 'api.github.com')).toBe('host.not_allowed');
  });
  it('does not open names of Object.prototype', () => {
    for (const host of ['constructor', '__proto__', 'toString', 'hasownproperty'])
      expect(rule({}, host)).toBe('host.not_allowed');
  });
  it("hides a mapping's own name even from a list that has it", () => {
    const allowedHosts = [{ kind: 'below' as const, name: 'corp.example' }];
    expect(rule({ allowedHosts }, 'ghe.corp.example')).toBe('host.not_allowed');
    expect(rule({ allowedHosts }, 'x.corp.example')).toBe('listed');
    expect(rule({ allowedHosts }, 'x.corp.example', 80)).toBe('scheme.https_only');
  });
  it('judges a path wherever a list narrows a host, and only there', () => {
    const narrow = {
      allowedHosts: parseAllowedHosts(['api.example.com/v1', 'x.example.com', 'x.example.com/v1']),
      networking: readNetworking({
        type: 'cloud',
        networking: { type: 'limited', allowed_hosts: ['api.example.com/v2/users', 'p.example.com:8443/v1'] },
      }),
    };
    const at = (host: string, path?: string, port = 443, changed: Partial<SessionPolicy> = narrow) => {
      const result = decideDestination({ ...policy, ...changed }, host, port, rules, path);
      if (result.ok) return 'rule' in result.destination ? result.destination.rule : result.destination.kind;
      return `${result.refusal.status} ${result.refusal.rule}`;
    };
    expect(at('api.example.com')).toBe('host:api.example.com/v1');
    expect(at('api.example.com', '/v1/x')).toBe('host:api.example.com/v1');
    expect(at('api.example.com', '/v2/users/1')).toBe('environment:api.example.com/v2/users');
    for (const path of ['/', '/v2', '/v10', '/V1', '/%761', '/v1%2fx', '/v1;x', '/v2/userss']) {
      expect(at('api.example.com', path), path).toBe('403 path.not_allowed');
    }
    expect(at('x.example.com', '/anything')).toBe('host:x.example.com');
    expect(at('p.example.com', '/v1', 8443)).toBe('environment:p.example.com:8443/v1');
    expect(at('p.example.com', '/v2', 8443)).toBe('403 path.not_allowed');
    expect(at('p.example.com', '/v1')).toBe('403 host.not_allowed');
    const result = decideDestination({ ...policy, ...narrow }, 'api.example.com', 443, rules, '/');
    expect(result.ok ? '' : result.refusal.message).toContain('/v1, /v2/users');
  });
  it('holds to the paths of the bound of the operator, as a whole where no path can be read', () => {
    const bounded = { ...rules, ceiling: parseAllowedHosts(['api.example.com/v1', 'whole.example.com']) };
    const at = (changed: Partial<SessionPolicy>, host: string, path?: string) => {
      const result = decideDestination({ ...policy, ...changed }, host, 443, bounded, path);
      return result.ok ? result.destination.kind : result.refusal.rule;
    };
    const open = { networking: { kind: 'unrestricted' as const } };
    expect(at(open, 'api.example.com')).toBe('listed');
    expect(at(open, 'api.example.com', '/v1/x')).toBe('listed');
    expect(at(open, 'api.example.com', '/v2')).toBe('path.ceiling');
    expect(at(open, 'other.example.com', '/v1')).toBe('host.ceiling');
    expect(
      at({ allowedHosts: parseAllowedHosts(['api.example.com/v1/x']) }, 'api.example.com', '/v1/y'),
    ).toBe('path.not_allowed');
    const passthroughHosts = ['api.example.com', 'whole.example.com'].map((name) => ({
      ...{ kind: 'exact' as const, name },
    }));
    expect(at({ passthroughHosts }, 'whole.example.com')).toBe('opaque');
    expect(at({ passthroughHosts }, 'api.example.com')).toBe('host.ceiling');
  });
  it('closes everything when the session has ended', () => {
    expect(rule({ ended: true }, 'tagalong.internal', 80)).toBe('session.ended');
  });
});

describe('upstream mappings', () => {
  const map = new UpstreamMap([
    { host: 'slack.com', pathPrefix: '/api/', target: 'http://127.0.0.1:4003/api/', scope: 'emulated' },
    {
      host: 'api.openai.com',
      pathPrefix: '/v1',
      target: 'https://llm.corp.example/openai/v1/',
      scope: 'all',
    },
  ]);
  const path = (host: string, target: string, emulated = true) => {
    const route = map.route(host, target, emulated);
    return route && route.kind !== 'socket' ? [route.kind, route.path] : undefined;
  };

  it('replaces the prefix and keeps the query', () => {
    expect(path('slack.com', '/api/auth.test?a=/b')).toEqual(['mapped', '/api/auth.test?a=/b']);
    expect(path('api.openai.com', '/v1/models')).toEqual(['mapped', '/openai/v1/models']);
  });
  it('takes a prefix that is a whole path for the whole path', () => {
    const whole = new UpstreamMap([
      { host: 'api.linear.app', pathPrefix: '/graphql', target: 'http://127.0.0.1:4/graphql', scope: 'all' },
    ]);
    expect(whole.route('api.linear.app', '/graphql', false)).toMatchObject({ path: '/graphql' });
    expect(whole.route('api.linear.app', '/graphql?a=1', false)).toMatchObject({ path: '/graphql?a=1' });
    expect(whole.route('api.linear.app', '/graphqlx', false)).toBeUndefined();
  });
  it('does not fall back to the vendor for the paths that it does not cover', () => {
    expect(path('slack.com', '/apix/auth.test')).toBeUndefined();
    expect(path('slack.com', '/x')).toBeUndefined();
  });
  it('keeps real and emulated apart', () => {
    expect(path('slack.com', '/api/auth.test', false)).toEqual(['public', '/api/auth.test']);
  });
});
