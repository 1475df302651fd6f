import { mostSpecific } from '../credential-rules.ts';
import type { ReadVaultCredential } from '../vault-credential.ts';
import { type Asking, framed, streamed, unmapped } from './asking.ts';
import { isHeaderValue, withHeader } from './header-rules.ts';
import { searchedBody, searchHead, searchOf } from './outbound-search.ts';
import type { Passage, PassageResult } from './pass-on.ts';
import { credentialRefusal, maxReplayBytes } from './provider-passage.ts';
import { failed, RefusedError, refuse } from './refusal.ts';
import { judgedTrailers } from './request-trailers.ts';
import type { Destination } from './session-policy.ts';
import { fillIn, type OpenVariable, variableStream, variablesOf, withVariables } from './variables.ts';

/** A request to a host that the policy lists, with what the session's vaults have for it. */
export async function listedPassage(
  asking: Asking,
  { rule, readOnly }: Extract<Destination, { kind: 'listed' }>,
): Promise<PassageResult> {
  const { parts, session, policy, host, port, request } = asking;
  const { method, target } = request;
  const reads = (method === 'GET' || method === 'HEAD') && request.body.kind === 'none';
  if (readOnly && !reads) {
    return {
      ok: false,
      refusal: refuse(
        'packages.read_only',
        `${host} is open for installing packages: GET and HEAD without a body. To publish there, an admin can add it to allowed_hosts.`,
      ),
    };
  }
  const asked = variablesOf(asking);
  if (!asked.ok) return asked;
  // A rule stands for https on port 443.
  const chosen =
    port === 443 ? mostSpecific(policy.credentials, { method, host, path: target.path }) : undefined;
  const route = parts.rules.upstreams.route(
    host,
    target.path + target.search,
    policy.publication?.emulated ?? false,
    port,
  );
  if (!route) return { ok: false, refusal: unmapped(host) };
  const plain: Passage = { rule, credential: null, method, route, headers: asking.headers, body: null };
  if (!chosen && asked.head.length === 0 && asked.body.length === 0) {
    return guarded(asking, plain);
  }
  try {
    const open = (credential: ReadVaultCredential) =>
      parts.credentials.open(session.organizationId, credential);
    const variable = async (credential: ReadVaultCredential): Promise<OpenVariable> => ({
      credential,
      placeholder: credential.detail.variable?.placeholder ?? '',
      value: (await open(credential)).value ?? '',
    });
    const openAll = (of: readonly ReadVaultCredential[]) =>
      of.length > 0 ? Promise.all(of.map(variable)) : [];
    const inHead = await openAll(asked.head);
    const inBody = await openAll(asked.body);
    const body = await bodyWith(asking, inBody, chosen?.kind === 'mcp_oauth');
    const headers = withVariables(body.headers, asking.sent, inHead);
    const search =
      request.body.kind === 'chunked' ? await searchOf(parts, session.organizationId) : undefined;
    const secret = chosen && chosen.kind !== 'mcp_oauth' ? await open(chosen) : undefined;
    const token =
      chosen?.kind === 'mcp_oauth'
        ? await parts.vaultTokens.get(session.organizationId, chosen)
        : secret?.token;
    const put = (value: string | undefined) =>
      chosen ? putOn(headers, chosen, secret ?? {}, value) : headers;
    const used = [...asked.head, ...(chosen ? [chosen] : [])];
    for (const { id } of used) parts.credentials.used(session.organizationId, id);
    const renewable = chosen?.kind === 'mcp_oauth' && body.replayable;
    return {
      ok: true,
      passage: {
        ...plain,
        credential: used.map(({ displayName }) => displayName).join(', ') || null,
        route: chosen ? { ...route, path: withParameter(route.path, chosen, secret?.value) } : route,
        headers: put(token),
        body: body.body,
        ...(search ? { trailers: judgedTrailers(asking, put(token), search) } : {}),
        secrets: [
          ...Object.values(secret ?? {}),
          token ?? '',
          ...[...inHead, ...inBody].map(({ value }) => value),
        ],
        ...(renewable
          ? {
              renew: async () => {
                const next = await parts.vaultTokens.get(session.organizationId, chosen, token);
                return { headers: put(next), secrets: [next] };
              },
            }
          : {}),
      },
    };
  } catch (error) {
    return { ok: false, refusal: credentialRefusal(error) };
  }
}

/** A request that gets no credential must not carry one either, in its head or in its body. */
async function guarded(asking: Asking, plain: Passage): Promise<PassageResult> {
  const searched = await searchHead(asking);
  if (!searched.ok) return searched;
  const body = streamed(asking);
  const headers = framed(asking);
  return {
    ok: true,
    passage: {
      ...{ ...plain, headers },
      body: body && searchedBody(body, searched.search, searched.refusal),
      ...(asking.request.body.kind === 'chunked'
        ? { trailers: judgedTrailers(asking, headers, searched.search) }
        : {}),
    },
  };
}

/** The body as it goes on: kept when it may have to be sent twice, filled in where variables are looked for. */
async function bodyWith(asking: Asking, variables: readonly OpenVariable[], keep: boolean) {
  const { session, request, headers, body, wantBody } = asking;
  const { kind } = request.body;
  if (kind === 'none') return { headers, body: null, replayable: true };
  const isSmall = request.body.kind === 'length' && request.body.bytes <= maxReplayBytes;
  if (isSmall && (keep || variables.length > 0)) {
    wantBody();
    const bytes = await body.readAll(maxReplayBytes, session.budget, session.lane);
    const filled =
      variables.length > 0 ? Buffer.from(fillIn(bytes.toString('latin1'), variables), 'latin1') : bytes;
    return { headers, body: filled, replayable: true };
  }
  const stream = streamed(asking);
  if (variables.length === 0 || !stream) return { headers: framed(asking), body: stream, replayable: false };
  // Its length changes, so it is sent in chunks.
  const filling = variableStream(variables);
  stream.once('error', (error) => filling.destroy(error));
  return { headers, body: stream.pipe(filling), replayable: false };
}

function putOn(
  headers: readonly string[],
  { kind, detail }: ReadVaultCredential,
  secret: Readonly<Record<string, string>>,
  token: string | undefined,
): string[] {
  const one = (name: string, value: string) => {
    if (!isHeaderValue(value)) {
      throw new RefusedError(failed('credential.unreadable', 'The credential is not a header value.'));
    }
    return [name, value] as const;
  };
  switch (kind) {
    case 'static_bearer':
    case 'slack_user':
    case 'mcp_oauth':
      return withHeader(headers, ...one('authorization', `Bearer ${token ?? ''}`));
    case 'basic': {
      const pair = Buffer.from(`${secret.username ?? ''}:${secret.password ?? ''}`).toString('base64');
      return withHeader(headers, ...one('authorization', `Basic ${pair}`));
    }
    case 'header':
      return (detail.headers ?? []).reduce<string[]>(
        (held, { name, prefix }, i) =>
          withHeader(held, ...one(name, `${prefix}${secret[`value_${i}`] ?? ''}`)),
        [...headers],
      );
    default:
      return [...headers];
  }
}

/** Puts a credential's query parameter on, in the place of any of that name. */
function withParameter(
  path: string,
  { kind, detail }: ReadVaultCredential,
  value: string | undefined,
): string {
  if (kind !== 'query' || !detail.parameter || value === undefined) return path;
  const [before = '', query = ''] = path.split(/\?(.*)/s);
  const name = detail.parameter;
  const kept = query.split('&').filter((part) => part !== '' && !new URLSearchParams(part).has(name));
  return `${before}?${[...kept, new URLSearchParams({ [name]: value }).toString()].join('&')}`;
}
