import type { LinearComment, LinearIssue } from '../workplace-api.ts';

/** By this Linear begins the thread of a delegation, under the name of who delegated. */
const delegationNotice = /^This thread is for an agent session\b/;

/** The comments of an issue without those that Linear makes itself: of a delegation, and of what is said in an agent session. */
export function ownComments(issue: LinearIssue): LinearComment[] {
  const said = issue.sessions
    .flatMap((session) => session.activities)
    .map(({ author, body }) => keyOf(author.name, body));
  const mirrored = new Set(said);
  return issue.comments.filter(
    ({ author, body }) => !mirrored.has(keyOf(author.name, body)) && !delegationNotice.test(body),
  );
}

function keyOf(name: string, body: string): string {
  return JSON.stringify([name, body]);
}
