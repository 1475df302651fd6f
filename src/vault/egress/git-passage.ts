import type { Readable } from 'node:stream';
import { type Asking, framed, unmapped } from './asking.ts';
import { type GitCommands, readGitCommands } from './git-commands.ts';
import { decideGitCommands, decideGitRequest } from './git-door.ts';
import { isHeaderValue, withHeader } from './header-rules.ts';
import type { PassageResult } from './pass-on.ts';
import { installationToken } from './provider-passage.ts';
import { failed, malformed, type Refusal, RefusedError, refuse } from './refusal.ts';
import { headerValues } from './request-gate.ts';

const no = (refusal: Refusal): PassageResult => ({ ok: false, refusal });

/** Git over HTTP with the installation's token, once the gate has let it through, a push with all that it changes. */
export async function gitPassage(asking: Asking): Promise<PassageResult> {
  const { parts, policy, host, request } = asking;
  if (!parts.git) return no(refuse('github.git', 'Git is not spoken here.'));
  const query = new URLSearchParams(request.target.search);
  const { method } = request;
  const verdict = decideGitRequest(policy, { method, path: request.target.path, query }, parts.git);
  if (!verdict.ok) return verdict;
  const emulated = policy.publication?.emulated ?? false;
  const { upstreams } = parts.rules;
  // With the API elsewhere, the host of the same name is not its git.
  if (upstreams.maps('api.github.com', emulated) && !upstreams.maps(host, emulated)) {
    return no(refuse('github.git', 'This GitHub has no git that can be reached.'));
  }
  const target = query.size > 0 ? `${request.target.path}?${query}` : request.target.path;
  const route = upstreams.route(host, target, emulated);
  if (!route) return no(unmapped(host));
  const got = await installationToken(asking, verdict.repositories);
  if (!got.ok) return got;
  let body: Readable | null = null;
  if (request.body.framing !== 'none') {
    asking.wantBody();
    body = asking.body.stream();
  }
  if (verdict.pushes) {
    if (!body || headerValues(asking.headers, 'content-encoding').length > 0) {
      return no(malformed('github.git', 'A push is read here, so it must have a plain body.'));
    }
    const commands = await readCommands(body);
    const refusal = decideGitCommands(policy, commands, parts.git);
    if (refusal) return no({ ...refusal, close: true });
  }
  const basic = `Basic ${Buffer.from(`x-access-token:${got.token}`).toString('base64')}`;
  if (!isHeaderValue(basic)) return no(failed('credential.unreadable', 'The token is not a header value.'));
  return {
    ok: true,
    passage: {
      rule: verdict.capability,
      credential: got.credential,
      method,
      route,
      headers: withHeader(framed(asking), 'authorization', basic),
      body,
    },
  };
}

/** Reads the commands off the front of a body and puts every byte of it back. */
async function readCommands(body: Readable): Promise<Exclude<GitCommands, { state: 'more' }>> {
  let held = Buffer.alloc(0);
  for (;;) {
    const chunk = body.read() as Buffer | null;
    if (chunk !== null) {
      held = Buffer.concat([held, chunk]);
      const commands = readGitCommands(held);
      if (commands.state === 'more') continue;
      body.unshift(held);
      return commands;
    }
    if (body.readableEnded || body.destroyed) {
      throw new RefusedError(malformed('http.body', 'The body broke off.'));
    }
    await new Promise<void>((resolve) => {
      const go = () => {
        for (const event of ['readable', 'end', 'close', 'error']) body.off(event, go);
        resolve();
      };
      for (const event of ['readable', 'end', 'close', 'error']) body.once(event, go);
    });
  }
}
