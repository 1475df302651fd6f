import { readDecision } from '../decision-words.ts';
import { ignored, malformed } from '../guard-signals.ts';
import type { Signal } from '../provider.ts';
import { mentionsHandle, spokenText, withoutLeadingMention } from './mentions.ts';
import { addressed, anchorOf, authorOf, type Scene } from './scene.ts';

/** A comment, review comment or review that mentions the agent, or is edited to. */
export function remarkSignal(event: string, scene: Scene): Signal {
  const { payload, identity, repository, name } = scene;
  const { comment, review } = payload;
  const remark = event === 'pull_request_review' ? review : comment;
  if (!remark) return malformed(`${name} without comment or review`);
  const text = remark.body ?? '';
  switch (payload.action) {
    case 'created':
    case 'submitted':
      if (text.trim() === '') return ignored('empty_message');
      if (scene.sender.type !== 'Bot') {
        const decision = decisionSignal(scene, text, remark.id);
        if (decision) return decision;
      }
      if (!mentionsHandle(text, identity.handle)) return ignored('not_addressed');
      break;
    case 'edited': {
      const before = payload.changes?.body?.from;
      const isAdded =
        typeof before === 'string' &&
        mentionsHandle(text, identity.handle) &&
        !mentionsHandle(before, identity.handle);
      if (!isAdded) return ignored('edited_message');
      break;
    }
    case 'deleted':
      return ignored('deleted_message');
    default:
      return ignored('unsupported_event', name);
  }
  const kind =
    event === 'issue_comment' ? 'comment' : event === 'pull_request_review' ? 'review' : 'review_comment';
  const where =
    comment?.path && kind === 'review_comment'
      ? `(on ${comment.path}${comment.line ? `, line ${comment.line}` : ''})\n\n`
      : '';
  const said = withoutLeadingMention(text, identity.handle) || text.trim();
  return addressed(scene, {
    externalKey: `github:${repository.id}:${kind}:${remark.id}`,
    body: where + said,
    written: remark,
    place: {
      kind,
      comment_id: remark.id,
      at: remark.created_at ?? review?.submitted_at,
      // Replies to a review comment go to the first of its thread.
      ...(kind === 'review_comment' ? { thread_id: comment?.in_reply_to_id ?? remark.id } : {}),
    },
  });
}

/** A line `/approve <id>` or `/reject <id>`. Whether it counts is decided by who wrote it. */
function decisionSignal(scene: Scene, text: string, commentId: string): Signal | undefined {
  const lines = spokenText(text).split('\n');
  const decided = lines
    .filter((line) => line.trimStart().startsWith('/'))
    .map(readDecision)
    .find((each) => each !== undefined);
  return (
    decided && {
      kind: 'decision',
      ...decided,
      anchor: anchorOf(scene),
      author: authorOf(scene.sender),
      place: { comment_id: commentId },
      authorHint: { login: scene.sender.login },
    }
  );
}
