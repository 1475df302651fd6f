import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';

const root = join(import.meta.dirname, '../../..');
const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

/** The strict policy that the console must work under. */
export const contentSecurityPolicy = "default-src 'self'";

export interface ConsoleServer {
  origin: string;
  /** Stops listening and drops every connection; `start` takes the same port again. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Builds the console with its own build command into a folder of its own. Returns the folder. */
export async function buildConsole(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-console-'));
  const vite = join(root, 'node_modules/vite/bin/vite.js');
  const child = spawn(
    process.execPath,
    [vite, 'build', 'console', '--outDir', folder, '--logLevel', 'warn'],
    {
      cwd: root,
      // The test runner's NODE_ENV would put React's development build into the page.
      env: { ...process.env, NODE_ENV: 'production' },
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  if (code !== 0) throw new Error(`vite build console ended with code ${code}.`);
  return folder;
}

/** Removes what `buildConsole` made. */
export function removeConsole(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

/** Serves a built console as the gateway does: its files, its page for every other path, the API, the strict policy. */
export async function serveConsole(folder: string, workplaceApi: () => Hono): Promise<ConsoleServer> {
  const app = new Hono();
  app.use(async (c, next) => {
    await next();
    c.header('content-security-policy', contentSecurityPolicy);
  });
  app.all('/workplace/api/*', (c) => {
    const mounted = new Hono().route('/workplace/api', workplaceApi());
    return mounted.fetch(c.req.raw, c.env);
  });
  app.get('*', (c) => {
    const type = types[extname(c.req.path)];
    const file = type === undefined ? 'index.html' : c.req.path;
    return c.body(readFileSync(join(folder, file)), 200, {
      'content-type': type ?? 'text/html; charset=utf-8',
    });
  });

  let port = 0;
  let server = await listen(app, port);
  port = (server.address() as AddressInfo).port;
  return {
    origin: `http://127.0.0.1:${port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    start: async () => {
      server = await listen(app, port);
    },
  };
}

function listen(app: Hono, port: number): Promise<Server> {
  const server = createServer(getRequestListener(app.fetch));
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
