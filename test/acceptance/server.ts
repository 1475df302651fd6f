import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findEmbeddedPostgres } from '../../src/store/embedded.ts';
import { openHome } from '../../src/store/home.ts';

const ownEntry = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** A server as a newcomer starts it, reached only by what it prints and serves. */
export interface TestServer {
  url: string;
  /** The one-time link that it printed. */
  link: string;
  apiKey: string;
  home: string;
  process: ChildProcess;
  /** All that it printed so far. */
  output(): string;
  /** Ctrl-C; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL of the server's own process, nothing else. */
  kill(): Promise<void>;
  /** The REST API with the API key; throws on an error answer. */
  api<T>(path: string, body?: unknown): Promise<T>;
  /** What the page does as a person: the workplace's API. */
  workplace<T>(path: string, body?: unknown): Promise<T>;
}

export interface StartOptions {
  home?: string;
  /** Of an earlier start on the same home: it is printed only once. */
  apiKey?: string;
  env?: Record<string, string>;
  /** The program that is `tagalong`; the checkout's by default. */
  entry?: string;
}

const started = new Set<ChildProcess>();

/** Starts `tagalong start` on a free port and waits until it says that it is ready. */
export async function startServer(options: StartOptions = {}): Promise<TestServer> {
  const home = options.home ?? mkdtempSync(join(tmpdir(), 'tagalong-acceptance-'));
  const child = spawn(process.execPath, [options.entry ?? ownEntry, 'start'], {
    env: {
      PATH: process.env.PATH ?? '',
      HOME: process.env.HOME ?? '/',
      TAGALONG_HOME: home,
      PORT: '0',
      TAGALONG_LOG_LEVEL: 'info',
      TAGALONG_WORKSPACE_MIB: '256',
      ...options.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.add(child);
  let output = '';
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const ready = new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      output += chunk.toString();
      if (/Tagalong is ready[\s\S]*Ctrl-C/.test(output)) resolve();
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('exit', (code) => reject(new Error(`The server ended with code ${code}:\n${output}`)));
    setTimeout(() => reject(new Error(`The server was not ready in time:\n${output}`)), 60_000).unref();
  });
  await ready;
  const link = /(http:\/\/\S+\/open\/\S+)/.exec(output)?.[1] ?? '';
  const url = new URL(link).origin;
  const apiKey = options.env?.TAGALONG_API_KEY ?? /\b(tag_\S+)/.exec(output)?.[1] ?? options.apiKey ?? '';

  const call = async <T>(path: string, body?: unknown): Promise<T> => {
    const response = await fetch(`${url}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'x-api-key': apiKey, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  };

  const signal = async (name: NodeJS.Signals) => {
    child.kill(name);
    const code = await ended;
    started.delete(child);
    return code;
  };
  return {
    url,
    link,
    apiKey,
    home,
    process: child,
    output: () => output,
    stop: () => signal('SIGINT'),
    async kill() {
      await signal('SIGKILL');
    },
    api: call,
    workplace: (path, body) => call(`/workplace/api${path}`, body),
  };
}

/** Ends what a test left running and removes its home. */
export async function cleanUp(server: TestServer | undefined): Promise<void> {
  if (!server) return;
  if (started.has(server.process)) await server.stop();
  // What a killed server left behind is not taken over by another one any more.
  await (await findEmbeddedPostgres(openHome(server.home)))?.stop();
  rmSync(server.home, { recursive: true, force: true });
}

/** Asks again until the answer is there. The time is a bound for a hang, not a claim about speed. */
export async function eventually<T>(
  ask: () => Promise<T | undefined | false>,
  what: string | (() => string),
  timeoutMs = 60_000,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end)
      throw new Error(`Did not happen in time: ${typeof what === 'string' ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
