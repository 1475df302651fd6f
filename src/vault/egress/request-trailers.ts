import type { Asking } from './asking.ts';
import { forwardedRequestTrailers } from './header-rules.ts';
import { forbidden, token } from './http1-head.ts';
import { secretRefusal } from './outbound-search.ts';
import type { Redaction } from './redaction.ts';
import { malformed, type Refusal, RefusedError, refuse } from './refusal.ts';
import { decodedText } from './request-target.ts';

const maxTrailers = 100;
/** Of their names and values together. */
const maxTrailerBytes = 16 * 1024;

/**
 * What goes on of the fields after a request's body, once that has come: nothing that `headers`, which went before it,
 * say already. A secret or a placeholder in one of them ends the request by a RefusedError: its end is never sent.
 */
export function judgedTrailers(
  { host, policy, body }: Pick<Asking, 'host' | 'policy' | 'body'>,
  headers: readonly string[],
  search: Redaction,
): () => string[] {
  return () => {
    const sent = body.trailers();
    if (sent.length === 0) return [];
    const malformation = objectionTo(sent);
    if (malformation) throw new RefusedError(malformation);
    const text = sent.flatMap((part) => [part, decodedText(part)]).join('\n');
    const placeholder = placeholderIn(text, policy.credentials);
    if (placeholder) throw new RefusedError(placeholder);
    if (search.found(text)) throw new RefusedError({ ...secretRefusal(host), close: true });
    return forwardedRequestTrailers(sent, headers);
  };
}

function objectionTo(trailers: readonly string[]): Refusal | undefined {
  const bytes = trailers.reduce((sum, part) => sum + part.length, 0);
  if (trailers.length / 2 > maxTrailers || bytes > maxTrailerBytes) {
    const message = `After its body a request may have ${maxTrailers} fields of ${maxTrailerBytes} bytes together.`;
    return malformed('http.trailers', message, 431);
  }
  const isBroken = trailers.some((part, i) => (i % 2 === 0 ? !token.test(part) : forbidden.test(part)));
  return isBroken ? malformed('http.trailers', 'What follows the body are no header fields.') : undefined;
}

/** A value is put on before a body or in it; after it there is no place for one, whatever the host. */
function placeholderIn(text: string, credentials: Asking['policy']['credentials']): Refusal | undefined {
  const found = credentials.find(
    ({ detail: { variable } }) => variable && text.includes(variable.placeholder),
  );
  const name = found?.detail.variable?.name;
  if (name === undefined) return undefined;
  const message = `The value of ${name} is not put on after a body: send it in a header.`;
  return { ...refuse('credential.placeholder', message), close: true };
}
