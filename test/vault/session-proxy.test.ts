import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { promisify } from 'node:util';
import { eq } from 'drizzle-orm';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../src/store/connection.ts';
import { publications } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import {
  curl,
  type Door,
  exchangeInside,
  openSecureTunnel,
  openTunnel,
  rawExchange,
  readAll,
} from './support/client.ts';
import { startTestEgress, type TestEgress } from './support/egress.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

describe('the proxy of a session', () => {
  let database: Database;
  let fixture: Fixture;
  let upstream: Upstream;
  let listed: Upstream;
  let world: TestEgress;
  let door: Door;

  beforeAll(async () => {
    const test = await createTestDatabase();
    database = test.database;
    upstream = await startUpstream();
    listed = await startUpstream();
    fixture = await createFixture(database, {
      provider: 'slack',
      emulated: true,
      policy: {
        allowed_hosts: ['files.example.com', '*.pkg.example.com', 'private.example.com', '*', 'a*b.com'],
      },
    });
    world = await startTestEgress(test, {
      modelCredentials: { anthropic: 'sk-ant-operator', openai: 'sk-openai-operator' },
      upstreams: [
        { host: 'api.anthropic.com', pathPrefix: '/', target: upstream.origin, scope: 'all' },
        { host: 'api.openai.com', pathPrefix: '/', target: `${upstream.origin}/base`, scope: 'all' },
      ],
    });
    world.network.names.set('files.example.com', ['93.184.216.34']);
    world.network.names.set('a.pkg.example.com', ['10.0.0.1', '93.184.216.34', '127.0.0.1']);
    world.network.names.set('private.example.com', ['10.1.2.3', '169.254.169.254']);
    world.network.machines.set('93.184.216.34', listed.port);
    door = await world.open(fixture);
  });

  beforeEach(() => {
    upstream.seen.length = 0;
    listed.seen.length = 0;
    world.network.lookups.length = 0;
    world.network.dialled.length = 0;
  });

  it('lets curl talk to a listed host over TLS with the session authority', async () => {
    const result = await curl(door, 'https://files.example.com/a/b?token=q-secret', '-D', '-');
    expect(result.stderr).toBe('');
    expect(result.stdout).toContain('{"ok":true}');
    expect(listed.seen[0]).toMatchObject({ method: 'GET', url: '/a/b?token=q-secret' });
    expect(listed.seen[0]?.headers.host).toBe('files.example.com');
    expect(world.network.lookups).toEqual(['files.example.com']);
    const rows = await world.records(fixture.sessionId);
    expect(rows.at(-1)).toMatchObject({
      path: '/a/b',
      status: 200,
      decision: 'allowed',
      rule: 'host:files.example.com',
    });
    expect(JSON.stringify(rows)).not.toContain('q-secret');
  });

  it('records what a model says of its answer, and masks its own key in it', async () => {
    const { answer } = upstream;
    upstream.answer = (request, response) => {
      const said = {
        model: 'claude-x',
        stop_reason: 'end_turn',
        usage: { input_tokens: 3, output_tokens: 4 },
      };
      response.end(JSON.stringify({ ...said, key: request.headers['x-api-key'] }));
    };
    const ask = ['-d', '{"model":"claude-x","messages":[]}'];
    const { stdout } = await curl(door, 'https://api.anthropic.com/v1/messages', ...ask);
    upstream.answer = answer;
    expect(upstream.seen[0]?.headers['x-api-key']).toBe('sk-ant-operator');
    expect(JSON.parse(stdout).key).toBe('***************');
    expect((await world.records(fixture.sessionId)).find(({ model }) => model !== null)).toMatchObject({
      model: 'claude-x',
      inputTokens: 3,
      outputTokens: 4,
      stopReason: 'end_turn',
      rule: 'model:anthropic redacted:1',
    });
  });

  it('denies an unlisted host before any name is looked up, and says what would allow it', async () => {
    const answer = await openTunnel(door.port, 'evil.example.org:443');
    expect(answer).toMatch(/^HTTP\/1\.1 403 Egress refused: host\.not_allowed\r\n/);
    expect(answer).toContain('x-tagalong-egress: refused');
    expect(answer).toContain('An admin can add it');
    expect(world.network.lookups).toEqual([]);
    expect((await world.records(fixture.sessionId)).at(-1)).toMatchObject({
      method: 'CONNECT',
      host: 'evil.example.org',
      status: 403,
      decision: 'refused',
      rule: 'host.not_allowed',
    });
  });

  it('dials only the public ones of mixed answers, after one lookup', async () => {
    const result = await curl(door, 'https://a.pkg.example.com/x');
    expect(result.stdout).toBe('{"ok":true}');
    expect(world.network.lookups).toEqual(['a.pkg.example.com']);
    expect(world.network.dialled).toEqual(['93.184.216.34:443']);
  });

  it('refuses a listed host that resolves to private addresses, without dialling', async () => {
    const result = await curl(door, 'https://private.example.com/latest/meta-data', '-D', '-');
    expect(result.stdout).toContain('403');
    expect(result.stdout).toContain('"rule":"address.not_public"');
    expect(result.stdout).not.toMatch(/10\.1\.2\.3|169\.254/);
    expect(world.network.dialled).toEqual([]);
  });

  it('refuses the provider hosts of the MCP tools and names the tools', async () => {
    for (const [host, tools] of [
      ['slack.com', 'slack'],
      ['api.linear.app', 'linear'],
    ]) {
      expect(await openTunnel(door.port, `${host}:443`)).toContain(`http://tagalong.internal/mcp/${tools}`);
    }
  });

  it('refuses addresses, other ports, and the mapped upstream by its own name', async () => {
    const refused: [string, string][] = [
      ['127.0.0.1:443', 'host.ip_literal'],
      ['[::1]:443', 'host.ip_literal'],
      ['169.254.169.254:80', 'host.ip_literal'],
      [`127.0.0.1:${upstream.port}`, 'host.ip_literal'],
      ['files.example.com:22', 'port.not_allowed'],
      ['files.example.com:8443', 'port.not_allowed'],
      ['files.example.com:80', 'scheme.https_only'],
      ['localhost:443', 'host.not_allowed'],
      ['tagalong.internal:443', 'port.not_allowed'],
    ];
    for (const [authority, rule] of refused) {
      expect(await openTunnel(door.port, authority), authority).toContain(`403 Egress refused: ${rule}`);
    }
    for (const authority of [
      'files.example.com',
      'files.example.com:0443',
      'files.example.com:https',
      'a..b:443',
    ]) {
      expect(await openTunnel(door.port, authority), authority).toMatch(/^HTTP\/1\.1 400/);
    }
    expect(world.network.lookups).toEqual([]);
  });

  it('puts the model key on exactly once, in the place of whatever the agent sent', async () => {
    const result = await curl(
      door,
      'https://api.anthropic.com/v1/messages?beta=true',
      '--http1.1',
      '-H',
      'X-Api-Key: agent',
      '-H',
      'X_Api_Key: agent',
      '-H',
      'Authorization: Bearer agent',
      '-H',
      'Cookie: s=agent',
      '-H',
      'X-Tagalong-Session: other',
      '-H',
      'X-Forwarded-For: 1.2.3.4',
      '-H',
      'Connection: x-nominated',
      '-H',
      'X-Nominated: agent',
      '-H',
      'anthropic-version: 2023-06-01',
      '-H',
      'content-type: application/json',
      '-d',
      '{"model":"m","messages":[{"role":"user","content":"hi"}],"model":"n"}',
    );
    expect(result.stdout).toBe('{"ok":true}');
    const [seen] = upstream.seen;
    expect(seen).toMatchObject({ method: 'POST', url: '/v1/messages?beta=true' });
    const names = seen?.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
    expect(names?.filter((name) => name === 'x-api-key')).toHaveLength(1);
    expect(seen?.headers['x-api-key']).toBe('sk-ant-operator');
    expect(seen?.rawHeaders).not.toContain('agent');
    expect(names?.filter((name) => name.replaceAll('_', '-') === 'x-nominated')).toEqual([]);
    expect(names).not.toContain('authorization');
    expect(names).not.toContain('x-tagalong-session');
    expect(seen?.headers['anthropic-version']).toBe('2023-06-01');
    // What was judged is what is sent: a name given twice is gone.
    expect(seen?.body).toBe('{"model":"n","messages":[{"role":"user","content":"hi"}]}');
    expect((await world.records(fixture.sessionId)).at(-1)).toMatchObject({
      credential: 'anthropic model key',
      rule: 'model:anthropic',
    });
  });

  it('sends the OpenAI key as a bearer, to the mapped base', async () => {
    await curl(door, 'https://api.openai.com/v1/responses', '-d', '{"input":"hi"}');
    expect(upstream.seen[0]).toMatchObject({ url: '/base/v1/responses' });
    expect(upstream.seen[0]?.headers.authorization).toBe('Bearer sk-openai-operator');
  });

  it('keeps model hosts to their message endpoints', async () => {
    for (const path of [
      '/v1/files',
      '/v1/complete',
      '/v1/organizations/api_keys',
      '/v1/messages/batches',
      '/v1/models/x',
    ]) {
      const result = await curl(door, `https://api.anthropic.com${path}`, '-d', '{}');
      expect(result.stdout, path).toContain('"rule":"model.endpoint"');
    }
    expect(upstream.seen).toEqual([]);
  });

  it('refuses model requests that reach out from the vendor', async () => {
    const bodies = {
      'model.mcp_servers': { mcp_servers: [{ type: 'url', url: 'https://evil.test' }] },
      'model.server_tools': { tools: [{ type: 'web_search_20250305', name: 'web_search' }] },
      'model.url_source': {
        messages: [
          {
            role: 'user',
            content: [{ type: 'image', source: { type: 'url', url: 'https://evil.test/?x' } }],
          },
        ],
      },
      'model.body': [],
    };
    for (const [rule, body] of Object.entries(bodies)) {
      const result = await curl(door, 'https://api.anthropic.com/v1/messages', '-d', JSON.stringify(body));
      expect(result.stdout, rule).toContain(`"rule":"${rule}"`);
    }
    expect(upstream.seen).toEqual([]);
  });

  it('refuses a model request that is too large, or is not what it says', async () => {
    const ask = (head: string, body = '') =>
      exchangeInside(
        door,
        'api.anthropic.com',
        `POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nConnection: close\r\n${head}\r\n\r\n${body}`,
      );
    expect(await ask('Content-Length: 40000000')).toMatch(/^HTTP\/1\.1 413/);
    expect(await ask('Content-Length: 2\r\nContent-Encoding: gzip', '{}')).toMatch(/^HTTP\/1\.1 415/);
    expect(await ask('Content-Length: 2', '{x')).toMatch(/^HTTP\/1\.1 400/);
    expect(await ask('Content-Length: 2', '\xff\xfe')).toMatch(/^HTTP\/1\.1 400/);
    expect(await ask('Transfer-Encoding: chunked', '2\r\n{}\r\nZZ\r\n')).toMatch(/^HTTP\/1\.1 400/);
    expect(upstream.seen).toEqual([]);
  });

  it('serves Node by its proxy variables, for http by CONNECT too', async () => {
    const internal = createServer((request, response) =>
      response.end(`${request.headers['x-tagalong-session']}`),
    );
    await new Promise<void>((resolve) => internal.listen(world.start.internalSocket, resolve));
    const ca = `${world.folder}/ca.pem`;
    writeFileSync(ca, door.ca);
    const proxy = `http://127.0.0.1:${door.port}`;
    const script = `for (const url of ['http://tagalong.internal/mcp', 'https://files.example.com/x'])
      console.log(await (await fetch(url)).text())`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
      env: { NODE_USE_ENV_PROXY: '1', HTTP_PROXY: proxy, HTTPS_PROXY: proxy, NODE_EXTRA_CA_CERTS: ca },
    });
    expect(stdout).toBe(`${fixture.sessionId}\n{"ok":true}\n`);
    internal.close();
    internal.closeAllConnections();
  });

  it('passes server-sent events on one by one', async () => {
    let next: (() => void) | undefined;
    upstream.answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'alt-svc': 'h3=":443"' });
      response.write('data: 1\n\n');
      next = () => response.end('data: 2\n\n');
    };
    const secure = await openSecureTunnel(door, 'api.anthropic.com');
    const body = '{"stream":true}';
    secure.write(
      `POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    const first = await readAll(secure, (text) => text.includes('data: 1'));
    expect(first).not.toContain('data: 2');
    expect(first.toLowerCase()).not.toContain('alt-svc');
    next?.();
    await readAll(secure, (text) => text.includes('data: 2'));
    secure.destroy();
    upstream.answer = (_request, response) => response.end('{"ok":true}');
  });

  it('ends the upstream request when the client goes away', async () => {
    let gone: Promise<unknown> = Promise.resolve();
    const began = new Promise<void>((resolve) => {
      upstream.answer = (_request, response) => {
        gone = new Promise((closed) => response.once('close', closed));
        response.write('data: 1\n\n');
        resolve();
      };
    });
    const secure = await openSecureTunnel(door, 'api.anthropic.com');
    secure.write('POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nContent-Length: 2\r\n\r\n{}');
    await began;
    secure.destroy();
    await gone;
    upstream.answer = (_request, response) => response.end('{"ok":true}');
  });

  it('passes tagalong.internal on with the session stamped on, by CONNECT and by absolute form', async () => {
    const seen: unknown[] = [];
    const internal = createServer((request, response) => {
      seen.push(request.url, request.headers['x-tagalong-session'], request.headers.authorization);
      response.end('from inside');
    });
    await new Promise<void>((resolve) => internal.listen(world.start.internalSocket, resolve));
    const plain = await curl(
      door,
      'http://tagalong.internal/mcp/slack',
      '-H',
      'x-tagalong-session: sesn_other',
      '-H',
      'Authorization: x',
    );
    expect(plain.stdout).toBe('from inside');
    const tunnelled = await curl(
      door,
      '--proxytunnel',
      'http://tagalong.internal/mcp/slack',
      '-H',
      'X_Tagalong_Session: sesn_other',
    );
    expect(tunnelled.stdout).toBe('from inside');
    expect(seen).toEqual([
      '/mcp/slack',
      fixture.sessionId,
      undefined,
      '/mcp/slack',
      fixture.sessionId,
      undefined,
    ]);
    internal.close();
    internal.closeAllConnections();
  });

  it('answers 421 when TLS names another host than the tunnel, and records it', async () => {
    const secure = await openSecureTunnel(door, 'files.example.com', 'evil.test');
    expect(secure.getPeerCertificate().subjectaltname).toBe('DNS:files.example.com');
    expect(await readAll(secure)).toMatch(/^HTTP\/1\.1 421 .*tls\.name/);
    expect((await world.records(fixture.sessionId)).at(-1)).toMatchObject({ rule: 'tls.name', status: 421 });
  });

  it('agrees with clients on what costs least, and takes the older TLS too', async () => {
    const secure = await openSecureTunnel(door, 'files.example.com');
    expect([secure.getProtocol(), secure.getCipher().name]).toEqual(['TLSv1.3', 'TLS_AES_128_GCM_SHA256']);
    expect(secure.getEphemeralKeyInfo()).toMatchObject({ name: 'X25519' });
    secure.destroy();
    const older = await curl(door, 'https://files.example.com/', '--tls-max', '1.2', '--http1.1');
    expect(older.stdout).toBe('{"ok":true}');
  });

  it('records failed handshakes and tunnels that were not used', async () => {
    const noTls = await openTunnel(door.port, 'files.example.com:443');
    if (typeof noTls === 'string') throw new Error(noTls);
    noTls.write('GET / HTTP/1.1\r\nHost: files.example.com\r\n\r\n');
    await readAll(noTls);
    const lastRules = async (count: number) =>
      (await world.records(fixture.sessionId)).slice(-count).map(({ rule }) => rule);
    await expect.poll(() => lastRules(1)).toEqual(['tls.handshake']);
    const unused = await openTunnel(door.port, 'files.example.com:443');
    if (typeof unused === 'string') throw new Error(unused);
    unused.destroy();
    await expect.poll(() => lastRules(2)).toEqual(['tls.handshake', 'tunnel.unused']);
  });

  it('never follows a redirect', async () => {
    listed.answer = (_request, response) => {
      response.writeHead(302, { location: 'http://169.254.169.254/latest' });
      response.end();
    };
    const result = await curl(door, 'https://files.example.com/', '-D', '-', '--http1.1');
    expect(result.stdout).toMatch(/^HTTP\/1\.1 200[\s\S]*HTTP\/1\.1 302/);
    expect(result.stdout).toContain('location: http://169.254.169.254/latest');
    expect(world.network.dialled.length).toBeLessThanOrEqual(1);
    listed.answer = (_request, response) => response.end('{"ok":true}');
  });

  it('checks Host on every request of a tunnel', async () => {
    const answer = await exchangeInside(
      door,
      'files.example.com',
      'GET /1 HTTP/1.1\r\nHost: files.example.com\r\n\r\nGET /2 HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /3 HTTP/1.1\r\nHost: files.example.com\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200[\s\S]*HTTP\/1\.1 421/);
    expect(listed.seen.map(({ url }) => url)).toEqual(['/1']);
  });

  it('uploads with Expect: 100-continue, byte for byte', async () => {
    const big = 'x'.repeat(2_000_000);
    listed.answer = (_request, response, seen) => response.end(String(seen.body === big));
    const file = `${world.folder}/big`;
    writeFileSync(file, big);
    const result = await curl(door, 'https://files.example.com/up', '-T', file, '-H', 'Expect: 100-continue');
    expect(result.stdout).toBe('true');
    const chunked = await curl(
      door,
      'https://files.example.com/up',
      '-T',
      file,
      '-H',
      'Transfer-Encoding: chunked',
    );
    expect(chunked.stdout).toBe('true');
    listed.answer = (_request, response) => response.end('{"ok":true}');
  });

  it('refuses what is no proxy request', async () => {
    expect(await rawExchange(door.port, 'GET / HTTP/1.1\r\nHost: files.example.com\r\n\r\n')).toContain(
      '"rule":"proxy.form"',
    );
    expect(
      await rawExchange(
        door.port,
        'GET https://files.example.com/ HTTP/1.1\r\nHost: files.example.com\r\n\r\n',
      ),
    ).toContain('"rule":"proxy.form"');
    expect(
      await rawExchange(
        door.port,
        'GET http://files.example.com/ HTTP/1.1\r\nHost: files.example.com\r\n\r\n',
        (t) => t.includes('}}'),
      ),
    ).toContain('scheme.https_only');
    expect(
      await rawExchange(door.port, 'GET http://tagalong.internal/ HTTP/1.1\r\nHost: evil.test\r\n\r\n'),
    ).toMatch(/^HTTP\/1\.1 421/);
    expect(await rawExchange(door.port, '\x16\x03\x01 garbage\r\n\r\n')).toMatch(/^HTTP\/1\.1 400/);
    // Two of one millisecond have no order.
    expect((await world.records(fixture.sessionId)).slice(-2)).toContainEqual(
      expect.objectContaining({ rule: 'http.malformed', decision: 'refused' }),
    );
  });

  it('stamps the turn on the records that follow', async () => {
    world.egress.setTurn(fixture.sessionId, 'turn_x');
    await Promise.resolve();
    await curl(door, 'https://files.example.com/turn');
    world.egress.setTurn(fixture.sessionId, null);
    expect((await world.records(fixture.sessionId)).at(-1)).toMatchObject({
      turnId: 'turn_x',
      path: '/turn',
    });
  });

  it('answers when an upstream breaks off, and a cut answer looks cut', async () => {
    listed.answer = (request) => request.socket.destroy();
    const none = await curl(door, 'https://files.example.com/none');
    expect(none.stdout).toContain('"rule":"upstream.broken"');
    listed.answer = (request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half', () => request.socket.destroy());
    };
    const cut = await curl(door, 'https://files.example.com/cut');
    expect(cut.code).not.toBe(0);
    expect((await world.records(fixture.sessionId)).at(-1)).toMatchObject({
      path: '/cut',
      decision: 'failed',
      status: 200,
    });
    listed.answer = (_request, response) => response.end('{"ok":true}');
  });

  it('sees a change of policy without being told', async () => {
    const other = await createFixture(database, { policy: {} });
    const otherDoor = await world.open(other);
    expect(await openTunnel(otherDoor.port, 'files.example.com:443')).toContain('host.not_allowed');
    await database
      .update(publications)
      .set({ policy: { allowed_hosts: ['files.example.com'] } })
      .where(eq(publications.id, other.publicationId));
    await expect
      .poll(async () => typeof (await openTunnel(otherDoor.port, 'files.example.com:443')), {
        timeout: 10_000,
      })
      .toBe('object');
  });

  it("does not let one session's client trust another session's certificate", async () => {
    const other = await createFixture(database, { policy: { allowed_hosts: ['files.example.com'] } });
    const otherDoor = await world.open(other);
    const result = await curl({ port: otherDoor.port, ca: door.ca }, 'https://files.example.com/');
    expect(result.code).toBe(60);
  });

  it('refuses a session of another organization', async () => {
    const other = await createFixture(database);
    await expect(
      world.egress.openSession(other.organizationId, fixture.sessionId.replace(/.$/, '_')),
    ).rejects.toThrow('no such session');
    const third = await createFixture(database);
    await expect(world.egress.openSession(other.organizationId, third.sessionId)).rejects.toThrow(
      'no such session',
    );
  });
});
