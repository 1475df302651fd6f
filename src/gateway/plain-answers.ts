import type { IncomingMessage, ServerResponse } from 'node:http';

/** A whole answer. */
export interface PlainAnswer {
  status: number;
  contentType?: string;
  body: string;
  headers?: Readonly<Record<string, string>>;
}

const json = 'application/json; charset=utf-8';

function problem(
  status: number,
  type: string,
  message: string,
  headers?: Readonly<Record<string, string>>,
): PlainAnswer {
  return {
    status,
    contentType: json,
    body: JSON.stringify({ type: 'error', error: { type, message } }),
    ...(headers ? { headers } : {}),
  };
}

/** What is said on bare node:http: by the webhook door, but for what a provider's rules answer at once, and before the API. */
export const plainAnswers = {
  stored: { status: 200, body: '' },
  malformed: problem(400, 'invalid_request_error', 'The body cannot be parsed.'),
  unverified: problem(
    401,
    'authentication_error',
    'The signature does not verify. Compare the signing secret and the webhook URL with those of the publication.',
  ),
  noSuchDoor: problem(
    404,
    'not_found_error',
    'Webhook URLs have the form /webhooks/{slack|github|linear}/{publication id}.',
  ),
  onlyPost: problem(405, 'invalid_request_error', 'This is a webhook URL: only POST is answered here.', {
    allow: 'POST',
  }),
  foreignHost: problem(
    421,
    'invalid_request_error',
    'This server does not answer under this host name. Use the address that it printed, or set TAGALONG_BASE_URL to the one that you use.',
  ),
  broken: problem(500, 'api_error', 'Something went wrong on our side.'),
  tooLarge: problem(413, 'invalid_request_error', 'The body is larger than this provider ever sends.'),
  compressed: problem(415, 'invalid_request_error', 'Compressed bodies are not accepted.'),
  busy: problem(503, 'api_error', 'Too much is being received at this moment. Try again.', {
    'retry-after': '5',
  }),
  unavailable: problem(503, 'api_error', 'The delivery could not be stored. Try again.', {
    'retry-after': '5',
  }),
} satisfies Record<string, PlainAnswer>;

/** Sends it, unless the client has gone. */
export function sendPlain(response: ServerResponse, answer: PlainAnswer): void {
  if (response.destroyed || response.headersSent) return;
  const headers: Record<string, string | number> = {
    'content-length': Buffer.byteLength(answer.body),
    ...answer.headers,
  };
  if (answer.contentType) headers['content-type'] = answer.contentType;
  response.writeHead(answer.status, headers);
  response.end(answer.body);
}

/**
 * Answers before the request is read. What still comes is thrown away for a moment, since a client that is cut off
 * while it writes does not read the answer; whoever has not finished by then is cut off.
 */
export function sendEarly(
  request: IncomingMessage,
  response: ServerResponse,
  answer: PlainAnswer,
  lingerMs = 1_000,
): void {
  sendPlain(response, answer);
  request.resume();
  if (request.complete) return;
  const timer = setTimeout(() => request.socket.destroy(), lingerMs);
  request.once('close', () => clearTimeout(timer));
}
