import { statSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { rpc, rpcHeaders, setUpInternalServer } from './internal-harness.ts';

const { socketPath, serve, another, stageWith, raw, recorded } = setUpInternalServer();

describe('the internal server', () => {
  it('answers unknown sessions, other providers and other paths alike: nothing here', async () => {
    await serve();
    const stage = await stageWith();
    const bodies = [];
    for (const [path, session] of [
      ['/mcp/slack', 'sesn_0'],
      ['/mcp/github', stage.sessionId],
      ['/mcp/SLACK', stage.sessionId],
      ['/mcp/slack/', stage.sessionId],
      ['/', stage.sessionId],
      ['/mcp/slack', "' or 1=1"],
      ['/mcp/slack', `${stage.sessionId}, ${stage.sessionId}`],
    ] as const) {
      const answer = await raw('POST', path, rpcHeaders(session), rpc('tools/list'));
      expect(answer.status).toBe(404);
      bodies.push(answer.text);
    }
    expect(new Set(bodies).size).toBe(1);
    const { 'x-tagalong-session': _, ...unstamped } = rpcHeaders('');
    expect((await raw('POST', '/mcp/slack', unstamped, rpc('tools/list'))).status).toBe(404);
  });

  it('serves POST only, and no web page', async () => {
    await serve();
    const stage = await stageWith();
    for (const method of ['GET', 'DELETE', 'PUT']) {
      const answer = await raw(method, '/mcp/slack', rpcHeaders(stage.sessionId));
      expect(answer).toMatchObject({ status: 405, headers: { allow: 'POST' } });
    }
    const page = { ...rpcHeaders(stage.sessionId), origin: 'http://evil.test' };
    expect((await raw('POST', '/mcp/slack', page, rpc('tools/list'))).status).toBe(403);
  });

  it.each([
    ['not JSON', '{"jsonrpc":', 400, -32700],
    ['empty', '', 400, -32700],
    ['no JSON-RPC', '{"hello":1}', 400, -32700],
    ['a batch', `[${'{"jsonrpc":"2.0","id":1,"method":"ping"}'}]`, 400, -32600],
  ])('refuses a body that is %s', async (_, body, status, code) => {
    await serve();
    const stage = await stageWith();
    const answer = await raw('POST', '/mcp/slack', rpcHeaders(stage.sessionId), body);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toMatchObject({ error: { code } });
  });

  it('refuses bodies that are too large, whether they say so or not, and encoded ones', async () => {
    await serve({ maxBodyBytes: 1_000 });
    const stage = await stageWith();
    const big = rpc('tools/call', { name: 'slack_reply', arguments: { text: 'x'.repeat(2_000) } });
    expect((await raw('POST', '/mcp/slack', rpcHeaders(stage.sessionId), big)).status).toBe(413);
    const chunked = { ...rpcHeaders(stage.sessionId), 'transfer-encoding': 'chunked' };
    expect((await raw('POST', '/mcp/slack', chunked, big)).status).toBe(413);
    const encoded = { ...rpcHeaders(stage.sessionId), 'content-encoding': 'gzip' };
    expect((await raw('POST', '/mcp/slack', encoded, 'x')).status).toBe(415);
    expect(await recorded(stage)).toEqual([]);
  });

  it('bounds requests of any kind', async () => {
    await serve({ requestsPerMinute: 2 });
    const stage = await stageWith();
    const list = () => raw('POST', '/mcp/slack', rpcHeaders(stage.sessionId), rpc('tools/list'));
    expect((await list()).status).toBe(200);
    expect((await list()).status).toBe(200);
    expect(await list()).toMatchObject({ status: 429, headers: { 'retry-after': '30' } });
  });

  it('is a socket for its own user, in the place of one that nobody serves, and never of one that is', async () => {
    writeFileSync(socketPath(), '');
    await serve();
    expect(statSync(socketPath()).mode & 0o777).toBe(0o600);
    const second = another();
    await expect(second.listen(socketPath())).rejects.toThrow('Another process serves');
    await second.close();
  });
});
