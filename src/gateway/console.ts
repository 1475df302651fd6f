import { readFile } from 'node:fs/promises';
import { extname, resolve, sep } from 'node:path';
import type { Context, Hono } from 'hono';
import { setCookie } from 'hono/cookie';
import { cookieLifetimeMs, redeemLoginLink } from './access.ts';
import { authenticate, cookieName, type GatewayEnv } from './authentication.ts';
import type { GatewayDeps } from './deps.ts';
import { answerError } from './errors.ts';
import { answerPage, pageTexts, securityHeaders } from './pages.ts';

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
};

const indexPath = '/index.html';
const isForBrowser = (c: Context) => (c.req.header('accept') ?? '').includes('text/html');

/** The console's door: the one-time link, and behind its cookie the built pages. Registered after all other routes. */
export function consoleRoutes(app: Hono<GatewayEnv>, deps: GatewayDeps): void {
  const { database, config, clock, consoleFolder } = deps;

  app.use('*', async (c, next) => {
    await next();
    for (const [name, value] of Object.entries(securityHeaders)) c.res.headers.set(name, value);
  });

  app.get('/open/:token', async (c) => {
    c.header('cache-control', 'no-store');
    // A program that only looks whether the link is alive must not use it up.
    if (c.req.method !== 'GET') return c.body(null, 204);
    const cookie = await redeemLoginLink(database, c.req.param('token'), clock());
    if (cookie === undefined) return answerPage(c, 401, pageTexts.linkUsed);
    setCookie(c, cookieName, cookie, {
      path: '/',
      httpOnly: true,
      sameSite: 'Strict',
      secure: new URL(config.baseUrl).protocol === 'https:',
      maxAge: cookieLifetimeMs / 1000,
    });
    // Where a page of another site held the link, a browser would not send the new cookie along a redirect.
    if (c.req.header('sec-fetch-site') === 'cross-site') return answerPage(c, 200, pageTexts.opening, '/');
    return c.redirect('/', 303);
  });

  app.get('*', async (c) => {
    const caller = await authenticate(c, database, clock());
    if (!caller) return refuse(c);
    const file = await readConsoleFile(consoleFolder, c.req.path === '/' ? indexPath : c.req.path);
    if (file) {
      const isNamedByContent = c.req.path.startsWith('/assets/');
      return c.body(new Uint8Array(file.content), 200, {
        'content-type': file.contentType,
        'cache-control': isNamedByContent ? 'private, max-age=31536000, immutable' : 'no-cache',
      });
    }
    if (!isForBrowser(c) && c.req.path !== '/') {
      return answerError(c, 'not_found_error', 'There is nothing here.', c.var.requestId);
    }
    // The console finds its own way by the path.
    const page = await readConsoleFile(consoleFolder, indexPath);
    if (!page) return answerPage(c, 503, pageTexts.notBuilt);
    return c.body(new Uint8Array(page.content), 200, {
      'content-type': page.contentType,
      'cache-control': 'no-cache',
    });
  });
}

function refuse(c: Context<GatewayEnv>): Response {
  c.header('cache-control', 'no-store');
  if (isForBrowser(c)) return answerPage(c, 401, pageTexts.signIn);
  return answerError(
    c,
    'authentication_error',
    'Not signed in. `npx tagalong link` prints a link that opens the console.',
    c.var.requestId,
  );
}

/** A file below the folder, whatever the path says; undefined when there is none of that name. */
async function readConsoleFile(
  folder: string | undefined,
  path: string,
): Promise<{ content: Buffer; contentType: string } | undefined> {
  if (folder === undefined) return undefined;
  let name: string;
  try {
    name = decodeURIComponent(path);
  } catch {
    return undefined;
  }
  const contentType = contentTypes[extname(name)];
  const root = resolve(folder);
  const full = resolve(root, `.${name.startsWith('/') ? name : `/${name}`}`);
  if (!contentType || name.includes('\0') || !full.startsWith(root + sep)) return undefined;
  try {
    return { content: await readFile(full), contentType };
  } catch {
    return undefined;
  }
}
