import { createHash, timingSafeEqual } from 'node:crypto';
import { type Context, Hono } from 'hono';
import type { Clock } from '../clock.ts';
import { anthropicMessages } from './anthropic.ts';
import type { Dialect } from './dialect.ts';
import { openaiChat } from './openai-chat.ts';
import { openaiResponses } from './openai-responses.ts';
import { offlineRules, type Reply, type Rule } from './rules.ts';
import { countTokens } from './tokens.ts';

const dialects = [anthropicMessages, openaiChat, openaiResponses] as const;

const dialectOf = (path: string): Dialect =>
  dialects.find((dialect) => dialect.path === path) ?? anthropicMessages;

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

/** A model without a model: Anthropic's and OpenAI's APIs on this machine, answering by `offlineRules`. */
export function offlineModel(options: OfflineModelOptions): Hono {
  const rules = [...(options.rules ?? []), ...offlineRules];
  const app = new Hono();
  app.use('*', async (c, next) => {
    const bearer = /^bearer (.+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
    const key = c.req.header('x-api-key') ?? bearer ?? '';
    return isSame(key, options.apiKey)
      ? await next()
      : failure(dialectOf(c.req.path), 401, 'invalid x-api-key');
  });
  app.post('/v1/messages/count_tokens', async (c) => {
    const read = anthropicMessages.read(await bodyOf(c));
    if (typeof read === 'string') return failure(anthropicMessages, 400, read);
    return c.json({ input_tokens: countTokens(read.request) });
  });
  for (const dialect of dialects) {
    app.post(dialect.path, async (c) => {
      const read = dialect.read(await bodyOf(c));
      if (typeof read === 'string') return failure(dialect, 400, read);
      const { request, isStream } = read;
      let reply: Reply | undefined;
      for (const rule of rules) reply ??= rule(request);
      if (!reply) return failure(dialect, 400, 'No rule fits.');
      if (reply.delayMs) await pause(options.clock, reply.delayMs);
      if (reply.kind === 'hang') return await new Promise<Response>(() => {});
      if (reply.kind === 'error') {
        return Response.json(dialect.error(reply.type, reply.message), { status: reply.status });
      }
      if (!isStream) return c.json(dialect.whole(request, reply));
      return streamed(dialect.events(request, reply), reply.kind === 'cut');
    });
  }
  app.all('*', (c) => failure(dialectOf(c.req.path), 404, 'Not found'));
  return app;
}

const bodyOf = (c: Context): Promise<unknown> => c.req.json().catch(() => undefined);

function failure({ error }: Dialect, status: 400 | 401 | 404, message: string): Response {
  return Response.json(error(errorTypes[status] ?? 'api_error', message), { status });
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
