import type { Hono } from 'hono';
import { type Clock, systemClock } from './clock.ts';
import { type GithubSite, type GithubState, startGithub } from './github/github.ts';
import { type LinearOffice, type LinearState, startLinear } from './linear/linear.ts';
import { type Listener, listen } from './listen.ts';
import { offlineModel } from './model/model.ts';
import type { Rule } from './model/rules.ts';
import { PersonSide } from './person-side.ts';
import { makeSecrets, type WorkplaceSecrets } from './secrets.ts';
import type { TwinOrder } from './slack/events.ts';
import { type SlackState, type SlackWorkspace, startSlack } from './slack/slack.ts';
import { loadSnapshot, openSnapshot } from './snapshot.ts';
import { type WorkplaceState, workplaceState } from './state.ts';

export interface WorkplaceOptions {
  /** Where the state is kept; everything, secrets included, is the same again after a restart. */
  folder: string;
  /** The agent's name at all three; its handles are made from it. Only the first start in a folder decides. */
  agentName?: string;
  /** False where a real model is used. */
  offlineModel?: boolean;
  /** Asked before the offline model's own rules. */
  modelRules?: readonly Rule[];
  twinOrder?: TwinOrder;
  clock?: Clock;
  fetch?: typeof fetch;
  /** How long after a change the state is saved, at most. */
  saveDelayMs?: number;
}

/** The vendors' API origins as an operator configures them. */
export interface WorkplaceUpstreams {
  /** With `/api/` at the end, as Slack's SDK wants it. */
  slackApiUrl: string;
  githubApiUrl: string;
  linearApiUrl: string;
  modelUrl?: string;
}

/** What `POST /v1/publications` takes for each provider. */
export interface WorkplaceCredentials {
  slack: { signing_secret: string; bot_token: string };
  github: { app_id: string; private_key: string; webhook_secret: string; installation_id: string };
  linear: { signing_secret: string; access_token: string };
}

export interface WebhookUrls {
  slack?: string;
  github?: string;
  linear?: string;
}

interface SavedState {
  agentName: string;
  secrets: WorkplaceSecrets;
  ports: { slack: number; github: number; linear: number; model?: number };
  slack: SlackState;
  github: GithubState;
  linear: LinearState;
}

/** A running workplace. What people do in it is in `persons`. */
export interface Workplace {
  upstreams: WorkplaceUpstreams;
  credentials: WorkplaceCredentials;
  /** The offline model's key. */
  modelApiKey: string;
  /** Opens the person-side API where it is served on a port of its own. */
  apiSecret: string;
  persons: PersonSide;
  slack: SlackWorkspace;
  github: GithubSite;
  linear: LinearOffice;
  state(): WorkplaceState;
  /** Where the vendors send webhooks from now on; addresses on this machine only. */
  setWebhookUrls(urls: WebhookUrls): void;
  /** Calls back after changes, until the returned function is called. */
  onChange(listener: () => void): () => boolean;
  close(): Promise<void>;
}

const usualSaveDelayMs = 50;

const mebibyte = 1024 * 1024;
const maxBodyBytes = { slack: 4 * mebibyte, github: 8 * mebibyte, linear: mebibyte, model: 32 * mebibyte };

/** Starts the emulated Slack, GitHub and Linear, and the offline model, on ports of 127.0.0.1. */
export async function startWorkplace(options: WorkplaceOptions): Promise<Workplace> {
  const { clock = systemClock, twinOrder = 'together' } = options;
  const send = options.fetch ?? fetch;
  const saved = await loadSnapshot<SavedState>(options.folder);
  const secrets = saved?.secrets ?? makeSecrets();
  const agentName = saved?.agentName ?? options.agentName ?? 'Tagalong';
  const listeners = new Set<() => void>();
  let save: (() => void) | undefined;
  const changed = (): void => {
    save?.();
    for (const listener of listeners) listener();
  };

  const fronts = new Map<string, Hono>();
  const open: Listener[] = [];
  const listenFor = async (
    name: keyof typeof maxBodyBytes,
    wantedPort: number | undefined,
  ): Promise<Listener> => {
    const starting = () => new Response('Starting', { status: 503 });
    const listener = await listen({
      handler: (request) => fronts.get(name)?.fetch(request) ?? starting(),
      maxBodyBytes: maxBodyBytes[name],
      wantedPort,
    });
    open.push(listener);
    return listener;
  };
  const closeAll = () => Promise.all(open.map((listener) => listener.close()));
  try {
    const slackPort = await listenFor('slack', saved?.ports.slack);
    const githubPort = await listenFor('github', saved?.ports.github);
    const linearPort = await listenFor('linear', saved?.ports.linear);
    const modelPort =
      options.offlineModel === false ? undefined : await listenFor('model', saved?.ports.model);

    const common = { agentName, clock, fetch: send, changed };
    const slack = await startSlack({
      ...common,
      baseUrl: slackPort.origin,
      secrets: secrets.slack,
      twinOrder,
      ...(saved ? { state: saved.slack } : {}),
    });
    const github = await startGithub({
      ...common,
      baseUrl: githubPort.origin,
      secrets: secrets.github,
      ...(saved ? { state: saved.github } : {}),
    });
    const linear = startLinear({
      ...common,
      secrets: secrets.linear,
      ...(saved ? { state: saved.linear } : {}),
    });
    fronts.set('slack', slack.app).set('github', github.app).set('linear', linear.app);
    if (modelPort) {
      const { modelRules: rules = [] } = options;
      fronts.set('model', offlineModel({ apiKey: secrets.modelApiKey, clock, rules }));
    }

    const take = (): SavedState => ({
      agentName,
      secrets,
      ports: {
        slack: slackPort.port,
        github: githubPort.port,
        linear: linearPort.port,
        ...(modelPort ? { model: modelPort.port } : saved?.ports.model ? { model: saved.ports.model } : {}),
      },
      slack: slack.state(),
      github: github.state(),
      linear: linear.state(),
    });
    const snapshot = openSnapshot(options.folder, take, options.saveDelayMs ?? usualSaveDelayMs);
    save = () => snapshot.changed();
    snapshot.changed();
    snapshot.flush();

    const parts = { agentName, hasOfflineModel: modelPort !== undefined, slack, github, linear };
    const senders = [slack.sender, github.sender, linear.sender];
    return {
      upstreams: {
        slackApiUrl: `${slackPort.origin}/api/`,
        githubApiUrl: githubPort.origin,
        linearApiUrl: `${linearPort.origin}/graphql`,
        ...(modelPort ? { modelUrl: modelPort.origin } : {}),
      },
      credentials: credentialsOf(secrets),
      modelApiKey: secrets.modelApiKey,
      apiSecret: secrets.apiSecret,
      persons: new PersonSide({ ...parts, secrets }),
      slack,
      github,
      linear,
      state: () => workplaceState(parts, clock.now()),
      setWebhookUrls(urls) {
        for (const url of Object.values(urls)) assertLoopback(url);
        slack.sender.setUrl(urls.slack);
        github.sender.setUrl(urls.github);
        linear.sender.setUrl(urls.linear);
      },
      onChange(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      async close() {
        listeners.clear();
        for (const sender of senders) sender.close();
        for (const { apps } of [slack, github, linear]) apps.close();
        linear.desk.close();
        snapshot.close();
        await closeAll();
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

function credentialsOf({ slack, github, linear }: WorkplaceSecrets): WorkplaceCredentials {
  return {
    slack: { signing_secret: slack.signingSecret, bot_token: slack.botToken },
    github: {
      app_id: String(github.appId),
      private_key: github.privateKey,
      webhook_secret: github.webhookSecret,
      installation_id: String(github.installationId),
    },
    linear: { signing_secret: linear.signingSecret, access_token: linear.accessToken },
  };
}

/** The workplace never talks to anything but this machine. */
function assertLoopback(url: string | undefined): void {
  if (url === undefined) return;
  const { hostname } = new URL(url);
  if (['127.0.0.1', '[::1]', 'localhost'].includes(hostname)) return;
  throw new Error(
    `The workplace sends webhooks to this machine only, not to ${hostname}. Give it the gateway's address on 127.0.0.1.`,
  );
}
