import { type Context, Hono } from 'hono';
import type { Clock } from '../clock.ts';
import type { Emulator } from '../emulator.ts';
import { slackAppPages } from './app-pages.ts';
import type { SlackApps } from './apps.ts';
import { fullPage, pageOfHistory, pageOfReplies } from './pages.ts';
import type { ThreadStatuses } from './statuses.ts';
import type { SlackTables } from './tables.ts';

type Parameters = Record<string, string>;
type Answer = Record<string, unknown> & { ok: boolean };

export interface SlackFrontOptions {
  apps: SlackApps;
  emulator: Emulator;
  tables: SlackTables;
  statuses: ThreadStatuses;
  clock: Clock;
  /** User ids of guests (`is_ultra_restricted`). */
  guests: readonly string[];
  /** User ids of people of another organization (`is_stranger`), who are here by Slack Connect. */
  externals: readonly string[];
  changed(): void;
}

/**
 * Slack's Web API as our parts see it: emulate's Slack, plus what it lacks or does otherwise than Slack. Whatever is not
 * named here goes to the emulator as it came.
 */
export function slackFront(options: SlackFrontOptions): Hono {
  const { emulator, tables } = options;
  const app = new Hono();
  app.all('/api/:method', async (c) => {
    const method = c.req.param('method');
    const parameters = await readParameters(c);
    if (!parameters) return await emulator.fetch(c.req.raw);
    const token = (c.req.header('authorization') ?? '').replace(/^bearer\s+/i, '').trim() || parameters.token;
    if (method === 'oauth.v2.access') return await exchanged(options, parameters, token);
    if (!token) return c.json({ ok: false, error: 'not_authed' });
    // The emulator would take an unknown token for its first user.
    if (!tables.tokenUser(token)) return c.json({ ok: false, error: 'invalid_auth' });
    if (method === 'auth.revoke') return c.json(revoke(options, token));
    if (method === 'apps.uninstall') return c.json(uninstall(options, parameters, token));
    if (method === 'assistant.threads.setStatus') return c.json(setStatus(options, parameters));
    const response = await forward(emulator, method, adapted(method, parameters), token);
    // Slack answers an unknown method with 200.
    if (response.status === 404) return c.json({ ok: false, error: 'unknown_method', req_method: method });
    options.changed();
    const answer = (await response.json()) as Answer;
    return c.json(answer.ok ? completed(options, method, parameters, answer) : answer);
  });
  slackAppPages(app, options.apps, tables, emulator);
  app.all('*', (c) => emulator.fetch(c.req.raw));
  return app;
}

/** Undefined for a body that is no set of parameters (an upload), which the emulator reads by itself. */
async function readParameters(c: Context): Promise<Parameters | undefined> {
  const type = c.req.header('content-type') ?? '';
  if (type.includes('multipart/')) return undefined;
  const parameters: Parameters = { ...c.req.query() };
  const text = await c.req.text();
  if (type.includes('application/json')) {
    const body = parseObject(text);
    for (const [name, value] of Object.entries(body)) {
      if (value !== null && value !== undefined) {
        parameters[name] = typeof value === 'object' ? JSON.stringify(value) : String(value);
      }
    }
  } else {
    for (const [name, value] of new URLSearchParams(text)) parameters[name] = value;
  }
  return parameters;
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function forward(
  emulator: Emulator,
  method: string,
  parameters: Parameters,
  token: string | undefined,
): Promise<Response> {
  const headers: Record<string, string> = { 'content-type': 'application/x-www-form-urlencoded' };
  if (token) headers.authorization = `Bearer ${token}`;
  const body = new URLSearchParams(parameters).toString();
  return emulator.fetch(new Request(`http://slack.invalid/api/${method}`, { method: 'POST', headers, body }));
}

function adapted(method: string, parameters: Parameters): Parameters {
  if (method === 'conversations.history') {
    const { cursor: _cursor, ...rest } = parameters;
    return { ...rest, ...fullPage };
  }
  if (!method.startsWith('chat.')) return parameters;
  // Who posts is decided by the token alone.
  const { bot_id: _botId, app_id: _appId, markdown_text: markdown, ...rest } = parameters;
  return markdown !== undefined && rest.text === undefined ? { ...rest, text: markdown } : rest;
}

/** A code becomes a token; the app is in the workspace from then on. */
async function exchanged(
  { emulator, apps }: SlackFrontOptions,
  parameters: Parameters,
  token: string | undefined,
): Promise<Response> {
  const response = await forward(emulator, 'oauth.v2.access', parameters, token);
  const answer = (await response.clone().json()) as Answer;
  const made = answer.ok ? apps.find({ clientId: parameters.client_id ?? '' }) : undefined;
  if (made) apps.install(made);
  return response;
}

/** The token of an app that was made from a manifest ends with its installation; the workplace's own app stays. */
function revoke({ tables, apps }: SlackFrontOptions, token: string): Answer {
  const row = tables.rows('tokens').findBy('token', token)[0];
  const made = apps.find({ appId: String(row?.app_id) });
  if (made) apps.uninstall(made);
  return { ok: true, revoked: made !== undefined };
}

/** Takes an app out of the workspace: with a token of it, and with its own id and secret. */
function uninstall({ tables, apps }: SlackFrontOptions, parameters: Parameters, token: string): Answer {
  const { client_id: clientId = '', client_secret: clientSecret } = parameters;
  const made = apps.find({ clientId });
  if (!made) return { ok: false, error: 'invalid_client_id' };
  if (made.record.clientSecret !== clientSecret) return { ok: false, error: 'bad_client_secret' };
  const row = tables.rows('tokens').findBy('token', token)[0];
  if (row?.app_id !== made.record.appId) return { ok: false, error: 'client_id_token_mismatch' };
  apps.uninstall(made);
  return { ok: true };
}

function setStatus({ tables, statuses, clock, changed }: SlackFrontOptions, parameters: Parameters): Answer {
  const { channel_id: channelId, thread_ts: threadTs, status } = parameters;
  if (!channelId || !tables.channel(channelId)) return { ok: false, error: 'channel_not_found' };
  if (!threadTs || status === undefined) return { ok: false, error: 'invalid_arguments' };
  if (!tables.message(channelId, threadTs)) return { ok: false, error: 'invalid_thread_ts' };
  statuses.set(channelId, threadTs, status, clock.now());
  changed();
  return { ok: true };
}

function completed(
  options: SlackFrontOptions,
  method: string,
  parameters: Parameters,
  answer: Answer,
): Answer {
  const { tables } = options;
  if (method === 'conversations.replies') return pageOfReplies(tables, parameters, answer);
  if (method === 'conversations.history') return pageOfHistory(tables, parameters, answer);
  if (method === 'chat.postMessage') {
    const bot = tables.botOf(String(tables.message(answer.channel, answer.ts)?.user));
    if (!bot) return answer;
    return { ...answer, message: { ...(answer.message as object), bot_id: bot.bot_id, app_id: bot.app_id } };
  }
  if (method === 'users.info') return { ...answer, user: withFlags(answer.user, options) };
  if (method === 'users.list' && Array.isArray(answer.members)) {
    return { ...answer, members: answer.members.map((member) => withFlags(member, options)) };
  }
  return answer;
}

const partnerTeamId = 'T0PARTNER';

function withFlags(user: unknown, { guests, externals }: SlackFrontOptions): unknown {
  if (typeof user !== 'object' || user === null || !('id' in user)) return user;
  const guest = guests.includes(String(user.id));
  const external = externals.includes(String(user.id));
  return {
    ...user,
    is_owner: false,
    is_restricted: guest,
    is_ultra_restricted: guest,
    is_stranger: external,
    ...(external ? { team_id: partnerTeamId } : {}),
    is_app_user: false,
  };
}
