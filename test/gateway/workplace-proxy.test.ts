import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RestSetUp, setUpRest } from './rest-support.ts';
import { addPublication } from './support.ts';

describe('/workplace/api', () => {
  let t: RestSetUp;
  const seen: IncomingMessage[] = [];
  let sendLater = (_text: string) => {};
  let streamClosed: Promise<void> = Promise.resolve();
  const workplace = createServer((request, response) => {
    seen.push(request);
    if (request.url === '/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('event: changed\ndata: 1\n\n');
      sendLater = (text) => response.write(text);
      streamClosed = new Promise((resolve) => response.on('close', resolve));
      return;
    }
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      response.writeHead(request.url?.startsWith('/missing') ? 404 : 200, {
        'content-type': 'application/json',
        'set-cookie': 'theirs=1',
      });
      response.end(JSON.stringify({ url: request.url, body: Buffer.concat(chunks).toString() }));
    });
  });

  beforeAll(async () => {
    await new Promise<void>((resolve) => workplace.listen(0, '127.0.0.1', resolve));
    const { port } = workplace.address() as AddressInfo;
    t = await setUpRest({ workplace: { apiUrl: `http://127.0.0.1:${port}`, apiSecret: 'workplace-secret' } });
  });
  afterAll(async () => {
    await t.gateway.close();
    workplace.closeAllConnections();
    workplace.close();
  });

  it('does not exist until something is published into it', async () => {
    expect((await t.api('GET', '/workplace/api/state')).status).toBe(404);
    await addPublication(t.gateway, 'slack');
    expect((await t.api('GET', '/workplace/api/state')).status).toBe(404);
    await addPublication(t.gateway, 'slack', 'unpublished', { emulated: true });
    expect((await t.api('GET', '/workplace/api/state')).status).toBe(404);
    expect(seen).toHaveLength(0);
  });

  it("passes requests on with its own secret and without the caller's", async () => {
    await addPublication(t.gateway, 'slack', 'live', { emulated: true });
    const { status, body } = await t.api('POST', '/workplace/api/slack/messages?x=1', { text: 'hi' });
    expect(status).toBe(200);
    expect(body).toEqual({ url: '/slack/messages?x=1', body: '{"text":"hi"}' });
    expect(seen.at(-1)?.headers).toMatchObject({ authorization: 'Bearer workplace-secret' });
    expect(JSON.stringify(seen.at(-1)?.headers)).not.toContain(t.gateway.apiKey);
    expect((await t.api('GET', '/workplace/api/missing')).status).toBe(404);
  });

  it('streams its events, and lets go when the reader does', async () => {
    const abort = new AbortController();
    const answer = await fetch(`${t.gateway.url}/workplace/api/events`, {
      headers: { 'x-api-key': t.gateway.apiKey },
      signal: abort.signal,
    });
    expect(answer.headers.get('content-type')).toBe('text/event-stream');
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader?.read())?.value).toBe('event: changed\ndata: 1\n\n');
    sendLater('event: changed\ndata: 2\n\n');
    expect((await reader?.read())?.value).toBe('event: changed\ndata: 2\n\n');
    abort.abort();
    await streamClosed;
  });

  it('does not exist for another organization', async () => {
    const answer = await fetch(`${t.gateway.url}/workplace/api/state`, {
      headers: { 'x-api-key': t.otherKey },
    });
    expect(answer.status).toBe(404);
  });
});
