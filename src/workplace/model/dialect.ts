import type { MessagesRequest } from './conversation.ts';
import type { Reply } from './rules.ts';

/** A reply that is an answer, and no failure. */
export type Answer = Extract<Reply, { kind: 'text' | 'tool' | 'cut' }>;

/**
 * One vendor's way to ask a model and to answer. Every request is read into the shape of the Messages API, which is
 * what the rules look at; the answer is written in the way that was asked.
 */
export interface Dialect {
  path: string;
  /** The request, or what is wrong with it. */
  read(body: unknown): { request: MessagesRequest; isStream: boolean } | string;
  /** A whole answer. */
  whole(request: MessagesRequest, answer: Answer): object;
  /** The same as server-sent events. An answer of kind `cut` ends in the middle. */
  events(request: MessagesRequest, answer: Answer): string[];
  error(type: string, message: string): object;
}

/** What is wrong with a body, in one line. */
export function problemOf(issues: readonly { path: readonly PropertyKey[]; message: string }[]): string {
  const [issue] = issues;
  return issue ? `${issue.path.join('.')}: ${issue.message}` : 'The body is not valid.';
}

const chunkChars = 48;

/** A text in the pieces that it is streamed in: cut between characters, never within one. */
export function chunks(text: string): string[] {
  const characters = Array.from(text);
  const parts: string[] = [];
  for (let at = 0; at < characters.length; at += chunkChars) {
    parts.push(characters.slice(at, at + chunkChars).join(''));
  }
  return parts;
}
