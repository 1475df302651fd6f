import { type Context, Hono } from 'hono';
import type { Clock } from '../clock.ts';
import type { WebhookSender } from '../deliveries.ts';
import type { Emulator } from '../emulator.ts';
import { githubAppPages } from './app-pages.ts';
import type { GithubApps } from './apps.ts';
import { decorate, type GithubAppIdentity } from './decorate.ts';
import { hookDeliveryRoutes } from './deliveries-api.ts';
import { type Reaction, type ReactionSubject, type Reactions, reactionContents } from './reactions.ts';
import type { GithubTables } from './tables.ts';

export interface GithubFrontOptions {
  emulator: Emulator;
  tables: GithubTables;
  reactions: Reactions;
  sender: WebhookSender;
  identity: GithubAppIdentity;
  apps: GithubApps;
  /** When each installation token ends, in milliseconds since 1970. */
  tokenExpiries: Map<string, number>;
  clock: Clock;
  changed(): void;
}

/** GitHub's REST API as our parts see it: emulate's GitHub, plus what it lacks or does otherwise than GitHub. */
export function githubFront(options: GithubFrontOptions): Hono {
  const { emulator, tables, identity, tokenExpiries, clock } = options;
  const app = new Hono();
  app.use('*', async (c, next) => {
    const token = tokenOf(c);
    // The emulator would take an unknown token for its first user; a JWT it verifies itself.
    if (token && !token.startsWith('eyJ')) {
      if (!tables.holder(token) || (tokenExpiries.get(token) ?? Number.POSITIVE_INFINITY) <= clock.now()) {
        return c.json(
          { message: 'Bad credentials', documentation_url: 'https://docs.github.com/rest', status: '401' },
          401,
        );
      }
    }
    return await next();
  });
  app.post('/app/installations/:id/access_tokens', async (c) => {
    if (options.apps.isSuspended(Number(c.req.param('id')))) {
      return c.json({ message: 'This installation has been suspended', status: '403' }, 403);
    }
    const response = await emulator.fetch(c.req.raw);
    if (response.status === 201) {
      const made = (await response.clone().json()) as { token: string; expires_at: string };
      tokenExpiries.set(made.token, clock.now() + 3_600_000);
      for (const [token, endsAtMs] of tokenExpiries) {
        if (endsAtMs > clock.now()) continue;
        tokenExpiries.delete(token);
        emulator.tokens.delete(token);
      }
      options.changed();
    }
    return response;
  });
  app.delete('/installation/token', (c) => {
    const token = tokenOf(c);
    if (!token || !tables.holder(token)?.installation) return notFound(c);
    emulator.tokens.delete(token);
    tokenExpiries.delete(token);
    options.changed();
    return c.body(null, 204);
  });
  app.get('/installation/repositories', async (c) => {
    const installation = tables.holder(tokenOf(c) ?? '')?.installation;
    if (!installation) return notFound(c);
    const all = installation.repositorySelection === 'all';
    const names = tables.repositories().filter(({ id }) => all || installation.repositoryIds.includes(id));
    const authorization = c.req.header('authorization') ?? '';
    const repositories = await Promise.all(
      names.map(async ({ full_name: name }) => {
        const request = new Request(new URL(`/repos/${name}`, c.req.url), { headers: { authorization } });
        return await (await emulator.fetch(request)).json();
      }),
    );
    return c.json({
      total_count: repositories.length,
      repository_selection: installation.repositorySelection,
      repositories,
    });
  });
  app.get('/repos/:owner/:repo/collaborators/:login/permission', (c) => {
    const repository = repositoryOf(c, tables);
    const login = c.req.param('login');
    const user = tables.userByLogin(login);
    if (!repository || !user) return notFound(c);
    const permission = tables.permission(repository, login);
    return c.json({ permission, role_name: permission, user: { login, id: user.id, type: user.type } });
  });
  githubAppPages(app, options.apps, emulator);
  app.route('/', hookDeliveryRoutes(emulator, options.sender));
  for (const kind of ['issues', 'issues/comments', 'pulls/comments'] as const)
    reactionRoutes(app, options, kind);
  app.all('*', async (c) => {
    const refused = await refuseToOutsiders(c, tables);
    if (refused instanceof Response) return refused;
    const response = await emulator.fetch(withBody(refused));
    if (c.req.method !== 'GET') options.changed();
    if (!response.headers.get('content-type')?.includes('application/json')) return response;
    const headers = new Headers(response.headers);
    headers.delete('content-length');
    // Each app's writing is marked as that app's.
    let body = decorate(await response.json(), options.reactions, identity);
    for (const made of options.apps.all()) body = decorate(body, options.reactions, made.identity);
    return new Response(JSON.stringify(body), { status: response.status, headers });
  });
  return app;
}

/** GitHub takes a write without a body where nothing needs to be said; the emulator wants an object. */
function withBody(request: Request): Request {
  if (request.body || !['POST', 'PUT', 'PATCH'].includes(request.method)) return request;
  return new Request(request, { body: '{}' });
}

function tokenOf(c: Context): string | undefined {
  return (c.req.header('authorization') ?? '').replace(/^(bearer|token)\s+/i, '').trim() || undefined;
}

function notFound(c: Context): Response {
  return c.json(
    { message: 'Not Found', documentation_url: 'https://docs.github.com/rest', status: '404' },
    404,
  );
}

function repositoryOf(c: Context, tables: GithubTables) {
  return tables.repository(`${c.req.param('owner')}/${c.req.param('repo')}`);
}

/**
 * On a public repository anybody may open issues and comment, but only who can write may label: GitHub refuses the others'
 * labels and drops those that they open an issue with. The emulator lets everybody.
 */
async function refuseToOutsiders(c: Context, tables: GithubTables): Promise<Request | Response> {
  const [, owner, repo, rest] = /^\/repos\/([^/]+)\/([^/]+)\/(.+)$/.exec(c.req.path) ?? [];
  const holder = tables.holder(tokenOf(c) ?? '');
  const repository = tables.repository(`${owner}/${repo}`);
  if (!rest || !repository || !holder || holder.installation || c.req.method === 'GET') return c.req.raw;
  if (['admin', 'write'].includes(tables.permission(repository, holder.login))) return c.req.raw;
  if (c.req.method === 'POST' && rest === 'issues') {
    const {
      labels: _labels,
      assignees: _assignees,
      ...body
    } = (await c.req.json()) as Record<string, unknown>;
    return new Request(c.req.url, { method: 'POST', headers: c.req.raw.headers, body: JSON.stringify(body) });
  }
  if (c.req.method === 'POST' && /^issues\/\d+\/comments$/.test(rest)) return c.req.raw;
  return c.json({ message: 'Must have write access to Repository.', status: '403' }, 403);
}

function reactionRoutes(app: Hono, options: GithubFrontOptions, kind: ReactionSubject['kind']): void {
  const { tables, reactions, clock, changed, identity } = options;
  const path = `/repos/:owner/:repo/${kind}/:id{[0-9]+}/reactions`;
  const subjectIn = (c: Context): ReactionSubject | undefined => {
    const repository = repositoryOf(c, tables);
    const id = Number(c.req.param('id'));
    if (!repository) return undefined;
    const [table, field] = kind === 'issues' ? ['issues', 'number'] : ['comments', 'id'];
    const exists = tables
      .rows(table as string)
      .findBy('repo_id', repository.id)
      .some((row) => row[field as string] === id);
    return exists ? { kind, repository: repository.full_name, id } : undefined;
  };
  const shown = ({ reactionId, login, content, createdAt }: Reaction) => {
    const user = tables.userByLogin(login);
    const node_id = Buffer.from(`Reaction${reactionId}`).toString('base64url');
    return {
      id: reactionId,
      node_id,
      user: { login, id: user?.id, type: user?.type },
      content,
      created_at: createdAt,
    };
  };
  app.get(path, (c) => {
    const subject = subjectIn(c);
    if (!subject) return notFound(c);
    const wanted = c.req.query('content');
    const found = reactions.of(subject).filter(({ content }) => wanted === undefined || content === wanted);
    return c.json(found.map(shown));
  });
  app.post(path, async (c) => {
    const subject = subjectIn(c);
    const holder = tables.holder(tokenOf(c) ?? '');
    if (!holder) return c.json({ message: 'Requires authentication', status: '401' }, 401);
    if (!subject) return notFound(c);
    const body = (await c.req.json().catch(() => ({}))) as { content?: unknown };
    const content = reactionContents.find((known) => known === body.content);
    if (!content)
      return c.json({ message: 'Validation Failed', errors: [{ field: 'content', code: 'invalid' }] }, 422);
    const appId = (holder.installation as { appId?: number } | undefined)?.appId;
    const slug = options.apps.byId(appId ?? 0)?.record.slug ?? identity.slug;
    const login = holder.installation ? `${slug}[bot]` : holder.login;
    const { reaction, isNew } = reactions.add(subject, login, content, new Date(clock.now()));
    changed();
    return c.json(shown(reaction), isNew ? 201 : 200);
  });
  app.delete(`${path}/:reaction{[0-9]+}`, (c) => {
    const subject = subjectIn(c);
    if (!tables.holder(tokenOf(c) ?? ''))
      return c.json({ message: 'Requires authentication', status: '401' }, 401);
    if (!subject || !reactions.remove(subject, Number(c.req.param('reaction')))) return notFound(c);
    changed();
    return c.body(null, 204);
  });
}
