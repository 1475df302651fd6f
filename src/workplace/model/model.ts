import { createHash, timingSafeEqual } from 'node:crypto';
import { type Context, Hono } from 'hono';
import type { Clock } from '../clock.ts';
import { type MessagesRequest, messagesRequest } from './conversation.ts';
import { offlineRules, type Reply, type Rule } from './rules.ts';
import { countTokens, eventsOf, messageOf } from './wire.ts';

export interface OfflineModelOptions {
  /** The only key that is let in, as `x-api-key` or as a bearer token. */
  apiKey: string;
  clock: Clock;
  /** Asked before the offline rules; for tests. */
  rules?: readonly Rule[];
}

const errorTypes: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  404: 'not_found_error',
};

/** A model without a model: the Anthropic Messages API on this machine, answering by `offlineRules`. */
export function offlineModel(options: OfflineModelOptions): Hono {
  const rules = [...(options.rules ?? []), ...offlineRules];
  const app = new Hono();
  app.use('*', async (c, next) => {
    const bearer = /^bearer (.+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
    const key = c.req.header('x-api-key') ?? bearer ?? '';
    return isSame(key, options.apiKey) ? await next() : refusal(c, 401, 'invalid x-api-key');
  });
  app.post('/v1/messages/count_tokens', async (c) => {
    const request = await readRequest(c);
    if (typeof request === 'string') return refusal(c, 400, request);
    return c.json({ input_tokens: countTokens(request) });
  });
  app.post('/v1/messages', async (c) => {
    const request = await readRequest(c);
    if (typeof request === 'string') return refusal(c, 400, request);
    let reply: Reply | undefined;
    for (const rule of rules) reply ??= rule(request);
    if (!reply) return refusal(c, 400, 'No rule fits.');
    if (reply.delayMs) await pause(options.clock, reply.delayMs);
    if (reply.kind === 'hang') return await new Promise<Response>(() => {});
    if (reply.kind === 'error') {
      return answerError(reply.status, reply.type, reply.message);
    }
    if (request.stream !== true) return c.json(messageOf(request, reply));
    return streamed(eventsOf(request, reply), reply.kind === 'cut');
  });
  app.all('*', (c) => refusal(c, 404, 'Not found'));
  return app;
}

async function readRequest(c: Context): Promise<MessagesRequest | string> {
  const parsed = messagesRequest.safeParse(await c.req.json().catch(() => undefined));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  return issue ? `${issue.path.join('.')}: ${issue.message}` : 'The body is not valid.';
}

function refusal(_c: Context, status: 400 | 401 | 404, message: string): Response {
  return answerError(status, errorTypes[status] ?? 'api_error', message);
}

function answerError(status: number, type: string, message: string): Response {
  return Response.json({ type: 'error', error: { type, message } }, { status });
}

function streamed(events: string[], broken: boolean): Response {
  const encoder = new TextEncoder();
  let at = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const event = events[at++];
      if (event !== undefined) controller.enqueue(encoder.encode(event));
      else if (broken) controller.error(new Error('The stream was cut off, as its rule wanted.'));
      else controller.close();
    },
  });
  return new Response(body, {
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' },
  });
}

function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.schedule(delayMs, resolve);
  });
}

function isSame(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}
