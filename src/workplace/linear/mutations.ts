import { checkedContent, checkModifiers } from './content.ts';
import type { LinearDesk } from './desk.ts';
import { linearError } from './errors.ts';
import type { RootFields } from './graphql.ts';
import { changeIssue } from './issue-change.ts';
import { lookup, lookupIssue } from './lookup.ts';
import type { IssueRecord, UserRecord } from './records.ts';
import { viewsOf } from './views.ts';

type Given = Record<string, unknown>;

/** The fields of Mutation that the stand-in serves, to one app user. */
export function mutationFields(desk: LinearDesk, actor: UserRecord): RootFields {
  const { records } = desk;
  const views = viewsOf(records);
  const done = (result: Given) => ({ success: true, lastSyncId: records.lastSyncId, ...result });
  const text = (value: unknown, field: string): string => {
    if (typeof value === 'string' && value.trim() !== '') return value;
    throw linearError(
      'invalid_input',
      `Argument Validation Error - ${field} must be a string that is not empty.`,
    );
  };
  const sessionOn = (issue: IssueRecord, commentId: string | undefined) => {
    const body = `This thread is for an agent session with ${actor.displayName}.`;
    const comment = commentId
      ? lookup(records.comments, commentId, 'Comment')
      : desk.createComment({ issueId: issue.id, parentId: null, userId: actor.id, body });
    return done({ agentSession: views.session(desk.createSession(issue, comment, actor.id, actor.id)) });
  };
  return {
    commentCreate: ({ input }) => {
      const { id, issueId, parentId, body } = input as Given;
      if (typeof issueId !== 'string') {
        throw linearError(
          'invalid_input',
          'Argument Validation Error - Exactly one of projectUpdateId, initiativeUpdateId, postId, documentContentId, projectId, initiativeId or issueId must be defined.',
        );
      }
      const issue = lookupIssue(records, issueId);
      const parent = parentId ? lookup(records.comments, parentId, 'Comment') : undefined;
      const comment = desk.createComment({
        ...(typeof id === 'string' ? { id } : {}),
        issueId: issue.id,
        parentId: parent?.id ?? null,
        userId: actor.id,
        body: text(body, 'body'),
      });
      return done({ comment: views.comment(comment) });
    },
    commentUpdate: ({ id, input }) => {
      const comment = lookup(records.comments, id, 'Comment');
      if (comment.userId !== actor.id) throw linearError('forbidden', 'You cannot edit this comment.');
      comment.body = text((input as Given).body, 'body');
      comment.editedAt = desk.stamp();
      comment.updatedAt = comment.editedAt;
      desk.changed();
      return done({ comment: views.comment(comment) });
    },
    issueCreate: ({ input }) => {
      const { id, title, description } = input as Given;
      const issue = desk.createIssue({
        ...(typeof id === 'string' ? { id } : {}),
        title: text(title, 'title'),
        description: typeof description === 'string' ? description : null,
        creatorId: actor.id,
      });
      changeIssue(desk, issue, input as Given);
      return done({ issue: views.issue(issue) });
    },
    issueUpdate: ({ id, input }) => {
      const issue = lookupIssue(records, id);
      changeIssue(desk, issue, input as Given);
      return done({ issue: views.issue(issue) });
    },
    issueAddLabel: ({ id, labelId }) => {
      const issue = lookupIssue(records, id);
      changeIssue(desk, issue, { addedLabelIds: [labelId] });
      return done({ issue: views.issue(issue) });
    },
    issueRemoveLabel: ({ id, labelId }) => {
      const issue = lookupIssue(records, id);
      changeIssue(desk, issue, { removedLabelIds: [labelId] });
      return done({ issue: views.issue(issue) });
    },
    agentActivityCreate: ({ input }) => {
      const { id, agentSessionId, content, ephemeral, signal, signalMetadata } = input as Given;
      const session = lookup(records.sessions, agentSessionId, 'AgentSession');
      const checked = checkedContent(content);
      checkModifiers(checked, ephemeral === true, typeof signal === 'string' ? signal : null);
      const activity = desk.addActivity({
        ...(typeof id === 'string' ? { id } : {}),
        sessionId: session.id,
        userId: actor.id,
        content: checked,
        ephemeral: ephemeral === true,
        signal: typeof signal === 'string' ? signal : null,
        signalMetadata,
      });
      return done({ agentActivity: views.activity(activity) });
    },
    agentSessionUpdate: ({ id, input }) => {
      const session = lookup(records.sessions, id, 'AgentSession');
      const { externalUrls, addedExternalUrls, removedExternalUrls, plan, summary } = input as Given;
      type Link = { label: string; url: string };
      if (Array.isArray(externalUrls)) session.externalUrls = externalUrls as Link[];
      if (Array.isArray(addedExternalUrls)) session.externalUrls.push(...(addedExternalUrls as Link[]));
      if (Array.isArray(removedExternalUrls)) {
        session.externalUrls = session.externalUrls.filter(({ url }) => !removedExternalUrls.includes(url));
      }
      if (plan !== undefined) session.plan = plan;
      if (summary !== undefined)
        session.summary = summary === null ? null : text(summary, 'summary').slice(0, 255);
      desk.sign(session);
      return done({ agentSession: views.session(session) });
    },
    agentSessionCreateOnIssue: ({ input }) =>
      sessionOn(lookupIssue(records, (input as Given).issueId), undefined),
    agentSessionCreateOnComment: ({ input }) => {
      const comment = lookup(records.comments, (input as Given).commentId, 'Comment');
      return sessionOn(lookupIssue(records, comment.issueId), comment.id);
    },
  };
}
