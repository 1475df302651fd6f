import { z } from 'zod';
import type { Writer } from '../provider.ts';

const user = z.object({ id: z.number(), login: z.string(), type: z.string().optional() });
type User = z.output<typeof user>;
const pull = z.object({
  head: z.object({ user: user.nullish(), repo: z.object({ id: z.number() }).nullish() }),
  base: z.object({ repo: z.object({ id: z.number() }) }),
});

/** Fields that hold no text of anybody's, or only that of people who may write to the repository. */
const passedOver = new Set([
  ...['user', 'actor', 'creator', 'assignee', 'assignees', 'closed_by', 'merged_by', 'auto_merge'],
  ...['requested_reviewers', 'requested_teams', 'labels', 'reactions', '_links', 'head', 'base'],
  ...['performed_via_github_app', 'repository', 'organization', 'type'],
]);
const maxDepth = 12;

/**
 * Whose words an answer of the REST API holds: of issues, pull requests, comments, reviews and events, one or a list of
 * them, and of what they quote. Undefined where one of them does not say it. Pure.
 */
export function writersIn(body: Buffer): Writer[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  const found = new Map<number, User>();
  const items: unknown[] = Array.isArray(value) ? value : [value];
  const known = items.every((item) => isObject(item) && writerOf(item) && collect(item, found, 0));
  return known ? [...found.values()].map(writerFrom) : undefined;
}

/** False where there are words of nobody knows whom in it. */
function collect(value: unknown, found: Map<number, User>, depth: number): boolean {
  if (Array.isArray(value)) return depth < maxDepth && value.every((each) => collect(each, found, depth + 1));
  if (!isObject(value)) return true;
  const writer = writerOf(value);
  if (writer) found.set(writer.id, writer);
  else if (typeof value.body === 'string' || typeof value.title === 'string') return false;
  if (!collectFork(value, found) || depth >= maxDepth) return false;
  return Object.entries(value).every(
    ([name, field]) => passedOver.has(name) || collect(field, found, depth + 1),
  );
}

/** A pull request describes where it comes from, which is a text by the fork's owner; an organization is nobody. */
function collectFork(value: object, found: Map<number, User>): boolean {
  const read = pull.safeParse(value);
  if (!read.success) return true;
  const { head, base } = read.data;
  if (!head.repo || head.repo.id === base.repo.id) return true;
  if (!head.user || head.user.type === 'Organization') return false;
  found.set(head.user.id, head.user);
  return true;
}

function writerOf(value: Record<string, unknown>): User | undefined {
  for (const field of [value.user, value.actor, value.creator]) {
    const read = user.safeParse(field);
    if (read.success) return read.data;
  }
  return undefined;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** An account of GitHub's as the writer of something. */
export function writerFrom(account: {
  id: number | bigint | string;
  login: string;
  type?: string | undefined;
}): Writer {
  return {
    author: {
      id: String(account.id),
      name: account.login,
      kind: account.type === 'Bot' ? 'bot' : 'person',
    },
    authorHint: { login: account.login },
  };
}
