import type { LinearComment, LinearIssue } from '../workplace-api.ts';

/** The comments of an issue without those that Linear makes itself of what is said in an agent session. */
export function ownComments(issue: LinearIssue): LinearComment[] {
  const said = issue.sessions
    .flatMap((session) => session.activities)
    .map(({ author, body }) => keyOf(author.name, body));
  const mirrored = new Set(said);
  return issue.comments.filter(({ author, body }) => !mirrored.has(keyOf(author.name, body)));
}

function keyOf(name: string, body: string): string {
  return JSON.stringify([name, body]);
}
