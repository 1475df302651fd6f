import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { compileCacheEnvironment } from '../store/compile-cache.ts';
import { type FromWorkplace, fromWorkplace, type ToWorkplace } from './messages.ts';
import type { WebhookUrls, WorkplaceCredentials, WorkplaceUpstreams } from './workplace.ts';

export interface WorkplaceProcessOptions {
  /** Where the workplace keeps its state. */
  folder: string;
  agentName?: string;
  /** False where a real model is used. */
  offlineModel?: boolean;
}

/** The workplace's process, as the server sees it. */
export interface WorkplaceHandle {
  pid: number;
  /** The person-side API, on a port of 127.0.0.1. */
  apiUrl: string;
  /** Goes with each request to it, as a bearer token. */
  apiSecret: string;
  upstreams: WorkplaceUpstreams;
  credentials: WorkplaceCredentials;
  /** The key of the offline model. */
  modelApiKey: string;
  /** Resolves when the addresses are in force; pending webhooks of an earlier run are sent from then on. */
  setWebhookUrls(urls: WebhookUrls): Promise<void>;
  /** Resolves with the exit code when the process has ended, for whatever reason. */
  exited: Promise<number | null>;
  /** Saves the state and ends the process; after 3 s it is killed. */
  stop(): Promise<void>;
}

const startTimeoutMs = 20_000;
const stopTimeoutMs = 3_000;

/** Starts the workplace as a process of its own, with nothing of our environment. Rejects when it cannot start. */
export async function startWorkplaceProcess(options: WorkplaceProcessOptions): Promise<WorkplaceHandle> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const child = fork(fileURLToPath(new URL(`./main.${extension}`, import.meta.url)), [], {
    env: compileCacheEnvironment,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  try {
    const answer = next(child, 'ready', startTimeoutMs);
    send(child, { type: 'start', ...options });
    const { type: _type, upstreams, ...ready } = await answer;
    const { modelUrl, ...apis } = upstreams;
    return {
      ...ready,
      pid: child.pid ?? 0,
      upstreams: { ...apis, ...(modelUrl ? { modelUrl } : {}) },
      exited,
      async setWebhookUrls(urls) {
        const done = next(child, 'webhook_urls_set', startTimeoutMs);
        send(child, { type: 'set_webhook_urls', urls });
        await done;
      },
      async stop() {
        if (child.connected) send(child, { type: 'stop' });
        const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
        await exited;
        clearTimeout(timer);
      },
    };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

function send(child: ChildProcess, message: ToWorkplace): void {
  child.send(message);
}

/** The next message of a type; rejects when the process says that it failed, ends, or stays silent. */
function next<Type extends FromWorkplace['type']>(
  child: ChildProcess,
  type: Type,
  timeoutMs: number,
): Promise<Extract<FromWorkplace, { type: Type }>> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      child.off('message', onMessage);
      child.off('exit', onExit);
      act();
    };
    const onMessage = (raw: unknown): void => {
      const message = fromWorkplace.parse(raw);
      if (message.type === type) settle(() => resolve(message as Extract<FromWorkplace, { type: Type }>));
      else if (message.type === 'failed') settle(() => reject(new Error(message.message)));
    };
    const onExit = (code: number | null): void =>
      settle(() =>
        reject(new Error(`The workplace's process ended with code ${code} while it was waited for.`)),
      );
    const timer = setTimeout(
      () =>
        settle(() =>
          reject(new Error(`The workplace's process did not answer within ${timeoutMs / 1000} s.`)),
        ),
      timeoutMs,
    );
    child.on('message', onMessage);
    child.on('exit', onExit);
  });
}
