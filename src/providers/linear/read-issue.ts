import type { Comment } from '@linear/sdk';
import type { People } from '../people.ts';
import { type ProviderContext, ProviderError, type ToolResult, type ToolTarget } from '../provider.ts';
import { excerpt, renderTranscript, type TranscriptEntry, writersOf } from '../transcript.ts';
import { callLinear, linearClient } from './client.ts';
import { issueOf } from './send.ts';

const pageSize = 50;
const maxPages = 6;
const maxNamesAsked = 30;
const maxDescriptionCharacters = 30_000;

/**
 * An issue with its state and its comments, each with its author. `inTeam` is the key of the team that it was asked for
 * in: an issue that was moved is found by its old name too, and the leave to read it is that of its new place.
 */
export async function readIssue(
  context: ProviderContext,
  target: ToolTarget,
  people: People,
  inTeam?: string,
): Promise<ToolResult> {
  const id = issueOf(target);
  const issue = await callLinear('the issue', () => linearClient(context.fetch).issue(id));
  if (inTeam !== undefined && issue.identifier.replace(/-\d+$/, '') !== inTeam) {
    throw new ProviderError('refused', 'That issue was moved to another team. Ask for it by its name there.');
  }
  const state = await callLinear('the state', async () => issue.state);
  const { comments, hasMore } = await commentsOf(issue);
  const names = await namesOf(context, [issue.creatorId, ...comments.map((each) => each.userId)], people);
  const opening = entryOf(context, names, {
    id: issue.identifier,
    userId: issue.creatorId,
    at: issue.createdAt,
    text: `# ${issue.title}\n\n${excerpt(issue.description ?? '', maxDescriptionCharacters)}`,
  });
  const entries = comments.map((each) =>
    entryOf(context, names, {
      id: each.id,
      userId: each.userId,
      botName: each.botActor?.name,
      at: each.createdAt,
      text: each.body,
    }),
  );
  const facts = `Linear issue ${issue.identifier}, ${state?.name ?? 'state unknown'}, ${issue.priorityLabel}. ${issue.url}`;
  const heading = hasMore ? 'Comments (there are more than could be read).' : 'Comments.';
  return {
    text: [renderTranscript(facts, [opening]), renderTranscript(heading, entries)].join('\n\n'),
    writers: writersOf([opening, ...entries]),
  };
}

interface CommentPages {
  comments(variables: { first: number; after?: string }): Promise<{
    nodes: Comment[];
    pageInfo: { hasNextPage: boolean; endCursor?: string | null };
  }>;
}

async function commentsOf(issue: CommentPages): Promise<{ comments: Comment[]; hasMore: boolean }> {
  const comments: Comment[] = [];
  let after: string | undefined;
  for (let page = 0; page < maxPages; page++) {
    const answer = await callLinear('the comments', () =>
      issue.comments({ first: pageSize, ...(after ? { after } : {}) }),
    );
    comments.push(...answer.nodes);
    after = answer.pageInfo.hasNextPage ? (answer.pageInfo.endCursor ?? undefined) : undefined;
    if (!after) break;
  }
  comments.sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime());
  return { comments, hasMore: after !== undefined };
}

async function namesOf(
  context: ProviderContext,
  userIds: readonly (string | null | undefined)[],
  people: People,
): Promise<Map<string, { name: string; isBot: boolean }>> {
  const asked = [...new Set(userIds.filter((id) => typeof id === 'string'))].slice(0, maxNamesAsked);
  // A name that cannot be had leaves the id.
  const answers = await Promise.allSettled(asked.map((id) => people.person(context, id)));
  return new Map(
    answers.flatMap((answer) => (answer.status === 'fulfilled' ? [[answer.value.id, answer.value]] : [])),
  );
}

function entryOf(
  context: ProviderContext,
  names: ReadonlyMap<string, { name: string; isBot: boolean }>,
  written: {
    id: string;
    userId: string | null | undefined;
    botName?: string | null | undefined;
    at: Date;
    text: string;
  },
): TranscriptEntry {
  const { userId, botName } = written;
  const known = userId ? names.get(userId) : undefined;
  const isOwn = userId !== undefined && userId === context.identity.userId;
  return {
    id: written.id,
    author: known?.name ?? botName ?? userId ?? 'unknown',
    kind: isOwn ? 'you' : known?.isBot || (!userId && botName) ? 'bot' : 'person',
    at: written.at.toISOString(),
    text: written.text,
    ...(userId ? { authorId: userId } : {}),
  };
}
