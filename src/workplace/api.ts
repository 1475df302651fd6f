import { type Context, Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import { z } from 'zod';
import { readBounded } from './listen.ts';
import { type PersonSide, WorkplaceError } from './person-side.ts';
import type { WorkplaceState } from './state.ts';

/** What the API needs of a workplace. */
export interface WorkplaceApiTarget {
  state(): WorkplaceState;
  persons: PersonSide;
  onChange(listener: () => void): () => void;
}

const text = z.string().trim().min(1).max(40_000);
const id = z.string().min(1).max(200);
const place = { owner: id.optional(), repo: id.optional() };
const labels = z.array(z.string().trim().min(1).max(100)).min(1).max(20);

const inputs = {
  slackMessage: z.strictObject({ personId: id, channel: id, text, threadTs: id.optional() }),
  slackReaction: z.strictObject({ personId: id, channel: id, ts: id, name: id }),
  slackButton: z.strictObject({ personId: id, channel: id, ts: id, value: z.string().min(1).max(2_000) }),
  githubIssue: z.strictObject({
    personId: id,
    ...place,
    title: z.string().trim().min(1).max(256),
    body: z.string().max(65_536).optional(),
    labels: labels.optional(),
  }),
  githubLabels: z.strictObject({ personId: id, ...place, labels }),
  githubComment: z.strictObject({ personId: id, ...place, body: text }),
  linearIssue: z.strictObject({
    personId: id,
    title: z.string().trim().min(1).max(255),
    description: z.string().max(100_000).optional(),
    delegate: z.boolean().optional(),
    /** Which agent; the workplace's own where none is named. */
    agent: id.optional(),
  }),
  linearDelegate: z.strictObject({ personId: id, agent: id.optional() }),
  linearPrompt: z.strictObject({ personId: id, body: text, stop: z.boolean().optional() }),
};

const maxBodyBytes = 1024 * 1024;
const heartbeatMs = 15_000;

/**
 * The person-side API of the workplace page: `GET /state`, `GET /events` (server-sent `changed`), and one POST for each
 * thing that a person does. What cannot be done is a 400 with `invalid_request_error`.
 */
export function workplaceApi(workplace: WorkplaceApiTarget): Hono {
  const { persons } = workplace;
  const app = new Hono();
  app.onError((error, c) => {
    if (error instanceof WorkplaceError) return invalid(c, error.message);
    throw error;
  });
  app.get('/state', (c) => c.json(workplace.state()));
  app.get('/events', (c) => changeEvents(c, workplace));
  const post = <Input extends z.ZodType>(
    path: string,
    input: Input,
    act: (given: z.output<Input>, c: Context) => unknown,
  ): void => {
    app.post(path, async (c) => {
      const parsed = input.safeParse(await readJson(c));
      if (!parsed.success) {
        const [issue] = parsed.error.issues;
        return invalid(
          c,
          issue ? `${issue.path.join('.') || 'body'}: ${issue.message}` : 'The body is not valid.',
        );
      }
      return c.json((await act(parsed.data, c)) ?? {}, 201);
    });
  };
  const numbered = <Given>(given: Given, c: Context) => ({ ...given, number: Number(c.req.param('number')) });
  post('/slack/messages', inputs.slackMessage, (given) => persons.postSlackMessage(defined(given)));
  post('/slack/reactions', inputs.slackReaction, (given) => persons.addSlackReaction(given));
  post('/slack/buttons', inputs.slackButton, (given) => persons.pressSlackButton(given));
  post('/github/issues', inputs.githubIssue, (given) => persons.openGithubIssue(defined(given)));
  post('/github/issues/:number{[0-9]+}/labels', inputs.githubLabels, (given, c) =>
    persons.labelGithubIssue(defined(numbered(given, c))),
  );
  post('/github/issues/:number{[0-9]+}/comments', inputs.githubComment, (given, c) =>
    persons.commentGithubIssue(defined(numbered(given, c))),
  );
  post('/linear/issues', inputs.linearIssue, (given) => persons.createLinearIssue(defined(given)));
  post('/linear/issues/:id/delegate', inputs.linearDelegate, (given, c) =>
    persons.delegateLinearIssue(defined({ ...given, id: c.req.param('id') ?? '' })),
  );
  post('/linear/sessions/:id/prompts', inputs.linearPrompt, (given, c) =>
    persons.promptLinearSession(defined({ ...given, sessionId: c.req.param('id') ?? '' })),
  );
  app.notFound((c) =>
    c.json({ type: 'error', error: { type: 'not_found_error', message: 'Not found' } }, 404),
  );
  return app;
}

async function readJson(c: Context): Promise<unknown> {
  const body = await readBounded(c.req.raw, maxBodyBytes);
  try {
    return body && JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Without the fields that are undefined. */
function defined<Given extends object>(
  given: Given,
): { [Key in keyof Given]: Exclude<Given[Key], undefined> } {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Key in keyof Given]: Exclude<Given[Key], undefined> };
}

function invalid(c: Context, message: string): Response {
  return c.json({ type: 'error', error: { type: 'invalid_request_error', message } }, 400);
}

/** One `changed` at the start and one after changes; changes while one is being written come to one more. */
function changeEvents(c: Context, workplace: WorkplaceApiTarget): Response {
  return streamSSE(c, async (stream) => {
    let wake: (() => void) | undefined;
    let isChanged = true;
    const stop = workplace.onChange(() => {
      isChanged = true;
      wake?.();
    });
    stream.onAbort(() => {
      stop();
      wake?.();
    });
    while (!stream.aborted) {
      if (isChanged) {
        isChanged = false;
        await stream.writeSSE({ event: 'changed', data: '{}' });
        continue;
      }
      let timer: NodeJS.Timeout | undefined;
      const beat = await new Promise<boolean>((resolve) => {
        wake = () => resolve(false);
        timer = setTimeout(() => resolve(true), heartbeatMs);
      });
      clearTimeout(timer);
      if (beat) await stream.write(': still here\n\n');
    }
    stop();
  });
}
