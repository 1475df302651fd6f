import { Transform } from 'node:stream';
import type { ReadVaultCredential } from '../vault-credential.ts';
import type { Asking } from './asking.ts';
import { mayCarryCredential, withHeader } from './header-rules.ts';
import { matchesHost } from './host-names.ts';
import { type Refusal, refuse } from './refusal.ts';
import { decodedText } from './request-target.ts';

/** A variable's value, on its way to the wire. */
export interface OpenVariable {
  credential: ReadVaultCredential;
  placeholder: string;
  value: string;
}

/** Inside a header of Basic authentication a placeholder is encoded. */
function readable(name: string, value: string): { text: string; write: (text: string) => string } {
  const basic = /^Basic +([A-Za-z0-9+/=]+)$/i.exec(value);
  return name.toLowerCase() === 'authorization' && basic
    ? {
        text: Buffer.from(basic[1] ?? '', 'base64').toString('utf8'),
        write: (text) => `Basic ${Buffer.from(text).toString('base64')}`,
      }
    : { text: value, write: (text) => text };
}

/**
 * The variables whose placeholders a request's head carries, and those that are looked for in its body. A refusal when
 * one is on its way to a host that it is not for, or stands where it is not put on. Pure.
 */
export function variablesOf(
  asking: Pick<Asking, 'sent' | 'host' | 'port' | 'request' | 'policy'>,
): { ok: true; head: ReadVaultCredential[]; body: ReadVaultCredential[] } | { ok: false; refusal: Refusal } {
  const { sent, host, port, request, policy } = asking;
  const head: ReadVaultCredential[] = [];
  const body: ReadVaultCredential[] = [];
  let target: string | undefined;
  for (const credential of policy.credentials) {
    const { variable } = credential.detail;
    if (credential.kind !== 'environment_variable' || !variable) continue;
    const { name, placeholder } = variable;
    target ??= decodedText(request.target.path + request.target.search);
    const isFor =
      port === 443 &&
      (credential.hosts === null || credential.hosts.some((pattern) => matchesHost(pattern, host)));
    if (variable.body && isFor) body.push(credential);
    const inHeaders = sent.some(
      (value, i) => i % 2 === 1 && readable(sent[i - 1] ?? '', value).text.includes(placeholder),
    );
    const no = (why: string) =>
      ({ ok: false, refusal: refuse('credential.placeholder', `The value of ${name} ${why}`) }) as const;
    if ((inHeaders || target.includes(placeholder)) && !isFor)
      return no(
        `is not for ${host}, port ${port}. An admin can add that host to the credential's allowed_hosts; only https on port 443 carries credentials.`,
      );
    if (target.includes(placeholder)) return no('is not put into a URL: send it in a header.');
    if (inHeaders && !variable.header)
      return no("is put on in bodies only. An admin can change the credential's injection_location.");
    if (inHeaders) head.push(credential);
  }
  return { ok: true, head, body };
}

/** The headers with values in the place of placeholders, also those that are otherwise not passed on. */
export function withVariables(
  headers: string[],
  sent: readonly string[],
  variables: readonly OpenVariable[],
): string[] {
  if (variables.length === 0) return headers;
  let out = headers;
  for (let i = 0; i + 1 < sent.length; i += 2) {
    const name = sent[i] ?? '';
    const { text, write } = readable(name, sent[i + 1] ?? '');
    const found = variables.filter(({ placeholder }) => text.includes(placeholder));
    if (found.length === 0 || !mayCarryCredential(name)) continue;
    const filled = found.reduce((held, { placeholder, value }) => held.replaceAll(placeholder, value), text);
    out = withHeader(out, name, write(filled));
  }
  return out;
}

/** Puts values in the place of placeholders in what goes by, wherever it is cut. */
export function variableStream(variables: readonly OpenVariable[]): Transform {
  const longest = Math.max(0, ...variables.map(({ placeholder }) => placeholder.length));
  let carry = '';
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const text = fillIn(carry + chunk.toString('latin1'), variables);
      const held = heldBack(text, variables, longest);
      carry = text.slice(text.length - held);
      done(null, Buffer.from(text.slice(0, text.length - held), 'latin1'));
    },
    flush(done) {
      done(null, Buffer.from(carry, 'latin1'));
    },
  });
}

/** Over latin1, so that no other byte is changed. */
export function fillIn(text: string, variables: readonly OpenVariable[]): string {
  return variables.reduce(
    (held, { placeholder, value }) =>
      held.replaceAll(placeholder, Buffer.from(value, 'utf8').toString('latin1')),
    text,
  );
}

function heldBack(text: string, variables: readonly OpenVariable[], longest: number): number {
  for (let length = Math.min(longest - 1, text.length); length > 0; length--) {
    const end = text.slice(text.length - length);
    if (variables.some(({ placeholder }) => placeholder.startsWith(end))) return length;
  }
  return 0;
}
