import { z } from 'zod';
import {
  type ProviderAdapter,
  type ProviderContext,
  ProviderError,
  type ProviderTool,
  type ToolTarget,
  type Writer,
} from '../../src/providers/provider.ts';
import type { Audience, ProviderName } from '../../src/store/schema.ts';

export interface Post {
  mark: string;
  text: string;
  tool: string;
  thread: string;
  message: string | undefined;
  token: string;
}

/** What the cloud does with one request: `before` it is stored, `after` it was. What they answer is sent instead. */
export interface Behaviour {
  before?: (post: Post) => Promise<Response | undefined> | Response | undefined;
  after?: (post: Post) => Promise<Response | undefined> | Response | undefined;
}

/** A small provider: it keeps posts in order, finds them by mark, and misbehaves as it is told. */
export class Cloud {
  readonly posts: Post[] = [];
  readonly lookups: string[] = [];
  /** The next posts' behaviours, first come first served. */
  readonly behaviours: Behaviour[] = [];
  readonly presences: { phase: string; place: unknown; message: unknown; text: string | undefined }[] = [];
  presenceErrors: unknown[] = [];
  /** Ids of people without authority. */
  readonly strangers = new Set<string>();
  /** Who wrote the thread that is read; undefined: the read does not say it. */
  writers: Writer[] | undefined = [];
  /** Of channels that are not just the workspace's. */
  readonly audiences = new Map<string, Audience>();
  /** `person@channel`. */
  readonly members = new Set<string>();
  /** Decides over each post that no behaviour was queued for. */
  always: Behaviour = {};
  lookupError: ProviderError | undefined;

  platformFetch = (principal: { organizationId: string; installationId: string }): typeof fetch => {
    return async (input, init) => {
      const request = new Request(input, init);
      const url = new URL(request.url);
      if (url.pathname === '/find') {
        const mark = url.searchParams.get('mark') ?? '';
        this.lookups.push(mark);
        if (this.lookupError) throw this.lookupError;
        const index = this.posts.findIndex((post) => post.mark === mark);
        return Response.json({ id: index < 0 ? null : String(index) });
      }
      if (url.pathname === '/thread') return Response.json(this.posts.map((post) => post.text));
      const post = { ...((await request.json()) as Omit<Post, 'token'>), token: principal.installationId };
      const { before, after } = this.behaviours.shift() ?? this.always;
      const signal = init?.signal;
      const early = await raceAbort(before?.(post), signal);
      if (early) return early;
      this.posts.push(post);
      const id = String(this.posts.length - 1);
      return (await raceAbort(after?.(post), signal)) ?? Response.json({ id });
    };
  };

  /** Forgets what it was told of people and places. */
  reset(): void {
    for (const known of [this.strangers, this.audiences, this.members]) known.clear();
    this.writers = [];
  }

  texts(): string[] {
    return this.posts.map((post) => post.text);
  }
}

async function raceAbort<T>(work: T | Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  if (!signal) return work;
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
  });
  return Promise.race([work, aborted]);
}

const posted = z.object({ id: z.string() });
const found = z.object({ id: z.string().nullable() });

async function call(context: ProviderContext, url: string, init?: RequestInit): Promise<unknown> {
  let response: Response;
  try {
    response = await context.fetch(url, init);
  } catch (error) {
    if (error instanceof ProviderError) throw error;
    throw new ProviderError('unavailable', 'no answer', { mayHaveArrived: true, cause: error });
  }
  if (response.ok) return response.json();
  const retryAfter = response.headers.get('retry-after');
  const retry = retryAfter === null ? {} : { retryAfterMs: Number(retryAfter) * 1_000 };
  if (response.status === 429) throw new ProviderError('rate_limited', 'slow down', retry);
  if (response.status === 401) throw new ProviderError('unauthorized', 'token_revoked');
  if (response.status >= 500)
    throw new ProviderError('unavailable', 'broken', { mayHaveArrived: true, ...retry });
  throw new ProviderError('refused', 'channel_is_archived');
}

function writeTool(name: string, capability: string, listed: boolean, idempotent = false): ProviderTool {
  const reconcile: NonNullable<ProviderTool['reconcile']> = async (context, _input, _target, mark) => {
    const { id } = found.parse(await call(context, `https://cloud.test/find?mark=${mark}`));
    return id === null ? undefined : { text: `found ${id}`, ref: { id } };
  };
  return {
    name,
    capability: capability as ProviderTool['capability'],
    title: name,
    description: `Does ${name}.`,
    input: z.object({ text: z.string().min(1) }),
    effect: 'write',
    listed,
    async perform(context, input, target: ToolTarget, mark) {
      const { thread_ts: thread } = target.place;
      const body = JSON.stringify({
        mark,
        text: input.text,
        tool: name,
        thread,
        message: target.message?.ts,
      });
      const { id } = posted.parse(await call(context, 'https://cloud.test/post', { method: 'POST', body }));
      return { text: `posted ${id}`, ref: { id } };
    },
    ...(!idempotent && { reconcile }),
  };
}

const toChannel: NonNullable<ProviderTool['elsewhere']> = ({ channel }, place) =>
  typeof channel === 'string' && channel !== place.channel ? { channel } : undefined;

function postElsewhere(): ProviderTool {
  return {
    ...writeTool('slack_post_message', 'slack:message.write', true),
    input: z.object({ text: z.string().min(1), channel: z.string() }),
    isInAnchor: () => false,
    elsewhere: toChannel,
  };
}

const never = (): never => {
  throw new Error('not part of this test');
};

/** An adapter for that cloud, under the name and with some of the capabilities of Slack. */
export function cloudAdapter(cloud: Cloud, name: ProviderName = 'slack'): ProviderAdapter {
  return {
    name,
    apiHosts: ['cloud.test'],
    webhook: { maxBodyBytes: 1, keptHeaders: [], verify: never, deliveryId: never },
    signals: never,
    mayAddress: async (_context, { author }) =>
      cloud.strangers.has(author.id)
        ? { allowed: false, kind: 'external', detail: `${author.id} is a stranger` }
        : { allowed: true },
    audience: async (_context, { channel = '' }) => cloud.audiences.get(channel) ?? 'workspace',
    canSee: async (_context, { author }, { channel = '' }) =>
      (cloud.audiences.get(channel) ?? 'workspace') !== 'private' ||
      cloud.members.has(`${author.id}@${channel}`),
    placeNames: () => [],
    splitCredentials: never,
    whoAmI: never,
    publishFlow: {
      firstWords: '',
      manifest: never,
      create: never,
      appFields: [],
      installUrl: never,
      revoke: never,
    },
    async presence(_context, target, phase, text) {
      const error = cloud.presenceErrors.shift();
      if (error) throw error;
      cloud.presences.push({ phase, place: target.place, message: target.message, text });
    },
    tools: [
      writeTool('reply', 'slack:thread.reply', false),
      writeTool('failure', 'slack:thread.reply', false),
      {
        ...writeTool('slack_reply', 'slack:thread.reply', true),
        postedText: ({ text }) => (typeof text === 'string' ? text : undefined),
      },
      writeTool('slack_idempotent', 'slack:thread.reply', true, true),
      writeTool('slack_react', 'slack:reaction.add', true),
      writeTool('slack_canvas', 'slack:canvas.write', true),
      writeTool('ask_approval', 'slack:thread.reply', false),
      writeTool('close_approval', 'slack:thread.reply', false),
      writeTool('slack_delete', 'slack:message.delete', true),
      postElsewhere(),
      {
        name: 'slack_read_thread',
        capability: 'slack:message.read',
        title: 'Read',
        description: 'Reads the thread.',
        input: z.object({
          limit: z.number().int().min(1).max(50).default(10),
          channel: z.string().optional(),
        }),
        effect: 'read',
        listed: true,
        elsewhere: toChannel,
        async perform(context) {
          const lines = z.array(z.string()).parse(await call(context, 'https://cloud.test/thread'));
          return { text: lines.join('\n'), ...(cloud.writers && { writers: cloud.writers }) };
        },
      },
    ],
  };
}

export function cloudAdapters(cloud: Cloud): Record<ProviderName, ProviderAdapter> {
  const adapter = cloudAdapter(cloud);
  return {
    slack: adapter,
    github: cloudAdapter(cloud, 'github'),
    linear: cloudAdapter(cloud, 'linear'),
  };
}
