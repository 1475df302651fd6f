import { timingSafeEqual } from 'node:crypto';
import { Hono } from 'hono';
import { workplaceApi } from './api.ts';
import { type Listener, listen } from './listen.ts';
import { type FromWorkplace, toWorkplace } from './messages.ts';
import { startWorkplace, type Workplace } from './workplace.ts';

/*
 * The workplace as a process of its own, started by `startWorkplaceProcess`. It is told what to do over IPC, and ends,
 * with its state saved, when the server says so or is gone. Signals go to the whole process group: the server decides
 * what they mean, so that webhooks of work that is still finishing find the vendors alive.
 */
let workplace: Workplace | undefined;
let api: Listener | undefined;

function tell(message: FromWorkplace): void {
  if (process.connected) process.send?.(message);
}

async function end(): Promise<void> {
  const closing = workplace;
  workplace = undefined;
  await closing?.close();
  await api?.close();
  process.exit(0);
}

function guarded(apiSecret: string, target: Workplace): Hono {
  const wanted = Buffer.from(`Bearer ${apiSecret}`);
  const app = new Hono();
  app.use('*', async (c, next) => {
    const given = Buffer.from(c.req.header('authorization') ?? '');
    if (given.length === wanted.length && timingSafeEqual(given, wanted)) return await next();
    return c.json(
      { type: 'error', error: { type: 'authentication_error', message: 'Wrong or no key.' } },
      401,
    );
  });
  app.route('/', workplaceApi(target));
  return app;
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {});
process.on('disconnect', () => void end());
process.on('message', (raw) => {
  const message = toWorkplace.parse(raw);
  if (message.type === 'stop') void end();
  else if (message.type === 'set_webhook_urls') {
    try {
      workplace?.setWebhookUrls(clean(message.urls));
      tell({ type: 'webhook_urls_set' });
    } catch (error) {
      tell({ type: 'failed', message: wordsOf(error) });
    }
  } else {
    start(clean(message)).catch((error: unknown) => {
      tell({ type: 'failed', message: wordsOf(error) });
      process.exitCode = 1;
      process.disconnect?.();
    });
  }
});

async function start(options: { folder: string; agentName?: string; offlineModel?: boolean }): Promise<void> {
  workplace = await startWorkplace(options);
  const { apiSecret, modelApiKey, upstreams, credentials } = workplace;
  const app = guarded(apiSecret, workplace);
  api = await listen({ handler: (request) => app.fetch(request), maxBodyBytes: 1024 * 1024 });
  tell({ type: 'ready', apiUrl: api.origin, apiSecret, modelApiKey, upstreams, credentials });
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function clean<Given extends object>(given: Given): { [Key in keyof Given]: Exclude<Given[Key], undefined> } {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Key in keyof Given]: Exclude<Given[Key], undefined> };
}
