import type { ReactionSubject, Reactions } from './reactions.ts';

/** What names the app in `performed_via_github_app`. */
export interface GithubAppIdentity {
  id: number;
  slug: string;
  name: string;
}

const subjectPath = /\/repos\/([^/]+\/[^/]+)\/(issues\/comments|pulls\/comments|issues)\/(\d+)$/;

/** Which issue or comment an API address stands for. */
export function subjectOf(url: string): ReactionSubject | undefined {
  const [, repository, kind, id] = subjectPath.exec(url) ?? [];
  if (!repository || !kind || !id) return undefined;
  return { repository, kind: kind as ReactionSubject['kind'], id: Number(id) };
}

/**
 * An answer or payload of the emulator with what it leaves empty, wherever it occurs: how many reactions an issue or
 * comment has, and that the app wrote it.
 */
export function decorate(value: unknown, reactions: Reactions, app: GithubAppIdentity): unknown {
  if (Array.isArray(value)) return value.map((item) => decorate(item, reactions, app));
  if (typeof value !== 'object' || value === null) return value;
  const copy: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) copy[name] = decorate(item, reactions, app);
  const user = copy.user as { login?: unknown } | null | undefined;
  if (copy.performed_via_github_app === null && user?.login === `${app.slug}[bot]`) {
    copy.performed_via_github_app = { id: app.id, slug: app.slug, name: app.name };
  }
  const subject = typeof copy.url === 'string' && copy.reactions ? subjectOf(copy.url) : undefined;
  if (subject) {
    const counts = reactions.counts(subject);
    copy.reactions = {
      ...(copy.reactions as object),
      ...Object.fromEntries(counts.map(({ name, count }) => [name, count])),
      total_count: counts.reduce((sum, { count }) => sum + count, 0),
    };
  }
  return copy;
}
