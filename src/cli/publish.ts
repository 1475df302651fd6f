import { createInterface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';
import type { Config } from '../config.ts';
import { type Api, ApiRefusal, openApi } from './api.ts';
import { beginPublication } from './publish-begin.ts';
import type { Provider, PublishOptions } from './publish-options.ts';

interface Setup {
  publication_id: string;
  provider_title: string;
  name: string;
  state: string;
  state_reason: string | null;
  next: 'create' | 'install' | 'done' | 'over';
  workspace: string | null;
  app_fields: { name: keyof typeof typedOptions; label: string; hint: string; secret: boolean }[];
  checklist: { label: string; done: boolean }[];
  warning: string | null;
}

/** Where each value that has to be typed comes from on the command line. */
const typedOptions = {
  client_id: ['clientId', '--client-id', 'TAGALONG_CLIENT_ID'],
  client_secret: ['clientSecret', '--client-secret', 'TAGALONG_CLIENT_SECRET'],
  signing_secret: ['signingSecret', '--signing-secret', 'TAGALONG_SIGNING_SECRET'],
} as const;

const pollMs = 1_000;

export interface Terminal {
  input: Readable & { isTTY?: boolean };
  output: Writable;
  environment: Readonly<Record<string, string | undefined>>;
}

/**
 * Walks the guided flow from the command line: prints the links, asks for what must be typed, waits for the rest. Every
 * step can be left and taken up again, by the same command or with `--publication`. Answers the exit code: 0 live, 2 something is left to do.
 */
export async function publish(
  config: Config,
  provider: Provider,
  options: PublishOptions,
  terminal: Terminal,
): Promise<number> {
  const say = (line = '') => terminal.output.write(`${line}\n`);
  const api = await openApi(config);
  if (!api) {
    say(`Tagalong does not run on ${config.home}. Start it with: npm start`);
    return 1;
  }
  let id = options.publication;
  try {
    if (id === undefined) {
      const begun = await beginPublication(api, provider, options);
      id = begun.id;
      if (begun.isEarlier) {
        say('Going on with what this command began earlier; --new publishes the agent once more.');
      }
    }
    return await walk(api, id, options, terminal, say);
  } catch (error) {
    if (!(error instanceof ApiRefusal)) throw error;
    say(error.message);
    if (id !== undefined) say(`Nothing is lost: the same command goes on with ${id}.`);
    return 1;
  } finally {
    await api.close();
  }
}

async function walk(
  api: Api,
  id: string,
  options: PublishOptions,
  terminal: Terminal,
  say: (line?: string) => void,
): Promise<number> {
  const path = `/v1/publications/${encodeURIComponent(id)}`;
  const look = () => api.get<Setup>(`${path}/setup`);
  let setup = await look();
  say(`Publication ${id}: ${setup.name} in ${setup.provider_title}`);
  if (setup.warning) say(`\n  Note: ${setup.warning}`);
  const link = async (step: 'create' | 'install', words: string) => {
    const { url } = await api.post<{ url: string }>(`${path}/links`, { step });
    say(`\n${words} (the link works once, for an hour):\n  ${url}`);
  };
  if (setup.next === 'create') {
    const given = typedValues(setup, options, terminal);
    const missing = setup.app_fields.filter(({ name }) => given[name] === undefined);
    if (missing.length > 0 || setup.app_fields.length === 0) {
      await link('create', `Make the app in ${setup.provider_title}`);
      if (!options.wait) return later(id, missing, say);
    }
    if (setup.app_fields.length > 0) {
      Object.assign(given, await ask(missing, terminal, say));
      setup = await api.post<Setup>(`${path}/credentials`, given);
      say('Stored, sealed.');
    } else setup = await until(look, ({ next }) => next !== 'create');
  }
  if (setup.next === 'install') {
    if (setup.state_reason) say(`\n  ${setup.state_reason}`);
    await link('install', `Install it in ${setup.provider_title}`);
    if (!options.wait) return later(id, [], say);
    setup = await until(look, ({ next }) => next !== 'install');
  }
  if (setup.next === 'over') {
    say('This publication was ended. Publish the agent anew.');
    return 1;
  }
  say(`\n${setup.name} is live in ${setup.workspace ?? setup.provider_title}.`);
  for (const { label, done } of setup.checklist) say(`  ${done ? '✓' : '·'} ${label}`);
  return 0;
}

function typedValues(
  { app_fields: fields }: Setup,
  options: PublishOptions,
  { environment }: Terminal,
): Record<string, string> {
  const given: Record<string, string> = {};
  for (const { name } of fields) {
    const [option, , variable] = typedOptions[name];
    const value = options[option] ?? environment[variable];
    if (value !== undefined) given[name] = value;
  }
  return given;
}

function later(id: string, missing: Setup['app_fields'], say: (line?: string) => void): number {
  const flags = missing.map(({ name }) => `${typedOptions[name][1]} …`);
  say(`\nThen go on with: tagalong publish --publication ${[id, ...flags].join(' ')}`);
  if (flags.length > 0) {
    say(
      `Secrets may also be in ${missing.map(({ name }) => typedOptions[name][2]).join(', ')}, where no process list shows them.`,
    );
  }
  return 2;
}

async function ask(
  missing: Setup['app_fields'],
  { input, output }: Terminal,
  say: (line?: string) => void,
): Promise<Record<string, string>> {
  if (missing.length === 0) return {};
  const lines = createInterface({ input, output: input.isTTY ? output : undefined });
  const typed: Record<string, string> = {};
  try {
    const next = lines[Symbol.asyncIterator]();
    say('\nThen type here what its page shows.');
    for (const { name, label, hint } of missing) {
      output.write(`  ${label} (${hint}): `);
      const line = await next.next();
      if (line.done) throw new ApiRefusal(`\n${label} was not given. Nothing was stored.`);
      typed[name] = line.value.trim();
      if (!input.isTTY) say();
    }
  } finally {
    lines.close();
  }
  return typed;
}

async function until(look: () => Promise<Setup>, done: (setup: Setup) => boolean): Promise<Setup> {
  for (;;) {
    const setup = await look();
    if (done(setup)) return setup;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
