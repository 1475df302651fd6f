import type { Created, ErrorBody, WorkplaceState } from './workplace-api.ts';

const base = '/workplace/api';
const timeoutMs = 30_000;

/** What went wrong with one request, in words that can be shown. `status` is 0 when no answer came at all. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
  }
}

/** `GET /state`: everything that the page shows. Throws `ApiError`. */
export function fetchState(): Promise<WorkplaceState> {
  return request<WorkplaceState>('GET', '/state');
}

/** Posts as a person: to the channel, or into the thread when `threadTs` is given. */
export function postSlackMessage(message: {
  personId: string;
  channel: string;
  text: string;
  threadTs?: string;
}): Promise<unknown> {
  return request('POST', '/slack/messages', message);
}

/** Presses a button under a message as a person. */
export function pressSlackButton(button: {
  personId: string;
  channel: string;
  ts: string;
  value: string;
}): Promise<unknown> {
  return request('POST', '/slack/buttons', button);
}

/** Opens an issue as a person. */
export function openGithubIssue(issue: {
  personId: string;
  owner: string;
  repo: string;
  title: string;
  body: string;
  labels?: string[];
}): Promise<Created | undefined> {
  return request('POST', '/github/issues', issue);
}

export interface GithubIssueRef {
  owner: string;
  repo: string;
  number: number;
}

/** Adds labels to an issue as a person. */
export function labelGithubIssue(
  personId: string,
  issue: GithubIssueRef,
  labels: string[],
): Promise<unknown> {
  const { owner, repo, number } = issue;
  return request('POST', `/github/issues/${number}/labels`, { personId, owner, repo, labels });
}

/** Comments on an issue as a person. */
export function commentOnGithubIssue(
  personId: string,
  issue: GithubIssueRef,
  body: string,
): Promise<unknown> {
  const { owner, repo, number } = issue;
  return request('POST', `/github/issues/${number}/comments`, { personId, owner, repo, body });
}

/** Opens a Linear issue as a person, delegated to the agent when `delegate` is true. */
export function openLinearIssue(issue: {
  personId: string;
  title: string;
  description: string;
  delegate: boolean;
}): Promise<Created | undefined> {
  return request('POST', '/linear/issues', issue);
}

/** Delegates a Linear issue to the agent. */
export function delegateLinearIssue(personId: string, issueId: string): Promise<unknown> {
  return request('POST', `/linear/issues/${encodeURIComponent(issueId)}/delegate`, { personId });
}

/** Writes to the agent in a Linear agent session. */
export function promptLinearSession(personId: string, sessionId: string, body: string): Promise<unknown> {
  return request('POST', `/linear/sessions/${encodeURIComponent(sessionId)}/prompts`, { personId, body });
}

/** Opens the stream that says `changed` whenever the state is no longer what was fetched. */
export function openEvents(): EventSource {
  return new EventSource(`${base}/events`);
}

function request<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
  return callServer<T>(method, base + path, body);
}

/** One request to the server. Throws `ApiError`. */
export async function callServer<T>(
  method: 'GET' | 'POST' | 'DELETE',
  url: string,
  body?: unknown,
): Promise<T> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    text = await response.text();
  } catch (cause) {
    throw new ApiError(0, unanswered(method, cause));
  }
  const answer = parse(text);
  if (!response.ok) throw new ApiError(response.status, refusal(response.status, answer));
  // A page from something else in between, as a captive portal: better said than shown as an empty workplace.
  if (method === 'GET' && answer === undefined)
    throw new ApiError(0, 'What answered is not the Tagalong server.');
  return answer as T;
}

function unanswered(method: string, cause: unknown): string {
  const late = cause instanceof DOMException && cause.name === 'TimeoutError';
  const what = late
    ? `The server did not answer within ${timeoutMs / 1000} seconds.`
    : 'The server cannot be reached. Is `npm start` still running?';
  return method === 'POST' && late
    ? `${what} It may have arrived all the same: look before you send it again.`
    : what;
}

function refusal(status: number, answer: unknown): string {
  const message = (answer as Partial<ErrorBody> | undefined)?.error?.message;
  if (typeof message === 'string' && message !== '') return message;
  if (status === 401) return 'This browser is no longer signed in. `npx tagalong link` prints a new link.';
  return `The server answered with status ${status} and gave no reason.`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
