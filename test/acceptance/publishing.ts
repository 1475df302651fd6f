import { createServer } from 'node:net';
import type { Page } from 'playwright-core';
import type { TestServer } from './server.ts';

export type Provider = 'slack' | 'github' | 'linear';

export interface Setup {
  publication_id: string;
  state: string;
  state_reason: string | null;
  next: string;
  name: string;
  workspace: string | null;
  webhook_url: string;
  app: { client_id: string | null; slug: string | null };
  app_fields: { name: string }[];
  checklist: { id: string; done: boolean }[];
}

/** A port that is free now, for servers that must come back under the same address. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** A new publication of the workplace's agent into the workplace, without any credentials. */
export async function beginPublication(
  server: TestServer,
  provider: Provider,
  more: Record<string, unknown> = {},
): Promise<string> {
  const agents = await server.api<{ data: { id: string }[] }>('/v1/agents');
  const made = await server.api<{ id: string; state: string }>('/v1/publications', {
    provider,
    agent_id: agents.data[0]?.id,
    name: 'Grace',
    emulated: true,
    ...more,
  });
  return made.id;
}

export function setupOf(server: TestServer, id: string): Promise<Setup> {
  return server.api<Setup>(`/v1/publications/${id}/setup`);
}

/** Sets what an installed agent may do, and approves by how much that is more. */
export async function grant(
  server: TestServer,
  id: string,
  capabilities: Record<string, string>,
): Promise<void> {
  const path = `/v1/publications/${id}`;
  const { pending_capabilities: pending } = await server.api<{
    pending_capabilities: { difference: string } | null;
  }>(path, { capabilities });
  if (pending) await server.api(`${path}/capabilities/approve`, { difference: pending.difference });
}

/** A single-use link that begins a step. */
export async function stepLink(server: TestServer, id: string, step: 'create' | 'install'): Promise<string> {
  return (await server.api<{ url: string }>(`/v1/publications/${id}/links`, { step })).url;
}

/** What the vendor's page of the app shows, to be typed back. */
export async function readAppFields(page: Page, names: readonly string[]): Promise<Record<string, string>> {
  const read: Record<string, string> = {};
  for (const name of names) read[name] = await page.locator(`#${name}`).innerText();
  return read;
}

/** Makes the app at the vendor, as a person with a browser does, and brings back what it must. */
export async function makeApp(page: Page, server: TestServer, id: string, provider: Provider): Promise<void> {
  await page.goto(await stepLink(server, id, 'create'));
  if (provider === 'github') {
    await page.getByRole('button', { name: /^Go on to/ }).click();
    await page.getByRole('button', { name: /^Create GitHub App/ }).click();
    await page.getByRole('heading', { name: /exists at GitHub/ }).waitFor();
    return;
  }
  await page.getByRole('button', { name: 'Create' }).click();
  const { app_fields: fields } = await setupOf(server, id);
  const typed = await readAppFields(
    page,
    fields.map(({ name }) => name),
  );
  await server.api(`/v1/publications/${id}/credentials`, typed);
}

export const consent: Record<Provider, string> = { slack: 'Allow', github: 'Install', linear: 'Authorize' };

/** Installs the app at the vendor; ends on our page that says so. */
export async function installApp(
  page: Page,
  server: TestServer,
  id: string,
  provider: Provider,
): Promise<void> {
  await page.goto(await stepLink(server, id, 'install'));
  await page.getByRole('button', { name: consent[provider], exact: true }).click();
  await page.getByRole('heading', { name: /is installed in/ }).waitFor();
}

/** Speaks to the new agent where its people are, and answers how to find what came back. */
export async function addressAgent(
  server: TestServer,
  provider: Provider,
  handle: string,
  text: string,
): Promise<() => Promise<boolean>> {
  const state = () =>
    server.workplace<{
      slack: {
        channels: { id: string }[];
        threads: {
          threadTs: string;
          messages: { text: string; isBot?: boolean; author: { isBot: boolean; name: string } }[];
        }[];
      };
      github: {
        issues: { number: number; comments: { body: string; author: { isBot: boolean; name: string } }[] }[];
      };
      linear: {
        issues: { id: string; comments: { body: string; author: { isBot: boolean; name: string } }[] }[];
      };
    }>('/state');
  if (provider === 'slack') {
    const channel = (await state()).slack.channels[0]?.id;
    const { ts } = await server.workplace<{ ts: string }>('/slack/messages', {
      personId: 'maya',
      channel,
      text: `@${handle} ${text}`,
    });
    return async () => {
      const thread = (await state()).slack.threads.find((each) => each.threadTs === ts);
      return (thread?.messages ?? []).some((message) => message.author.isBot && message.text.trim() !== '');
    };
  }
  if (provider === 'github') {
    const { number } = await server.workplace<{ number: number }>('/github/issues', {
      personId: 'maya',
      title: 'A question',
      body: `@${handle} ${text}`,
    });
    return async () => {
      const issue = (await state()).github.issues.find((each) => each.number === number);
      return (issue?.comments ?? []).some((comment) => comment.author.name === `${handle}[bot]`);
    };
  }
  const { id } = await server.workplace<{ id: string }>('/linear/issues', {
    personId: 'maya',
    title: text,
    delegate: true,
    agent: handle,
  });
  return async () => {
    const issue = (await state()).linear.issues.find((each) => each.id === id);
    return (issue?.comments ?? []).filter((comment) => comment.author.name === 'Grace').length > 0;
  };
}

/** Makes the app and installs it, on the provider's pages; answers the address of the app's own page there. */
export async function makeAndInstall(
  page: Page,
  server: TestServer,
  id: string,
  provider: Provider,
): Promise<string> {
  await makeApp(page, server, id, provider);
  let appPage = page.url();
  if (provider === 'github') {
    await page.goto(await stepLink(server, id, 'install'));
    appPage = page.url().replace(/\/installations\/new.*$/, '');
  }
  await installApp(page, server, id, provider);
  return appPage;
}
