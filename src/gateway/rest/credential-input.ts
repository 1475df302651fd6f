import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { CredentialKind } from '../../store/schema.ts';
import { type CredentialRuleText, parseCredentialRule, ruleForUrl } from '../../vault/credential-rules.ts';
import { isHeaderValue, mayCarryCredential } from '../../vault/egress/header-rules.ts';
import { parseHostPattern } from '../../vault/egress/host-names.ts';
import { minSecretChars } from '../../vault/secret-forms.ts';
import type { VaultCredentialDetail } from '../../vault/vault-credential.ts';

/** Long enough to be found again in an answer, and fit to stand in a header. */
const secret = z
  .string()
  .min(minSecretChars, `at least ${minSecretChars} characters: a shorter one could not be found in an answer`)
  .max(8_192)
  .refine(isHeaderValue, 'visible ASCII, without line ends');
const name = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'letters, digits and dashes');
const httpsUrl = z
  .string()
  .refine(
    (text) => URL.canParse(text) && ruleForUrl(new URL(text)) !== undefined,
    'an https URL of a public host',
  );
const hostPattern = z
  .string()
  .refine((text) => parseHostPattern(text) !== undefined, 'a host name, or *. before one');

/** Slack's own MCP server, the one place where a person's token is put on. */
const slackMcpUrl = 'https://mcp.slack.com/mcp';

const match = z
  .strictObject({
    host: hostPattern,
    path_prefix: z.string().startsWith('/').max(1_024).default('/'),
    methods: z.array(z.string()).min(1).max(10).nullable().default(null),
  })
  .refine((rule) => parseCredentialRule(rule) !== undefined, 'a rule that can be read in one way');
/** Where the credential is put on: by a rule of ours, or by the URL of an MCP server. */
const place = { match: match.optional(), mcp_server_url: httpsUrl.optional() };
const hasPlace = (auth: { match?: unknown; mcp_server_url?: unknown }) =>
  (auth.match === undefined) !== (auth.mcp_server_url === undefined);
const placeNeeded = 'exactly one of `match` and `mcp_server_url`';

/** The `auth` of a credential: the Managed Agents API's three kinds, and ours beside them. */
export const authInput = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('static_bearer'), token: secret, ...place }).refine(hasPlace, placeNeeded),
  z
    .strictObject({
      type: z.literal('header'),
      headers: z
        .array(
          z.strictObject({
            name: name.refine(mayCarryCredential),
            prefix: z.string().max(64).default(''),
            value: secret,
          }),
        )
        .min(1)
        .max(8),
      ...place,
    })
    .refine(hasPlace, placeNeeded),
  z
    .strictObject({
      type: z.literal('basic'),
      username: z
        .string()
        .max(256)
        .regex(/^[^:\p{Cc}]*$/u),
      password: secret,
      ...place,
    })
    .refine(hasPlace, placeNeeded),
  z.strictObject({ type: z.literal('query'), name, value: secret, ...place }).refine(hasPlace, placeNeeded),
  z.strictObject({
    type: z.literal('mcp_oauth'),
    access_token: secret,
    mcp_server_url: httpsUrl,
    expires_at: z.iso.datetime({ offset: true }).nullish(),
    refresh: z
      .strictObject({
        client_id: z.string().min(1).max(1_024),
        refresh_token: secret,
        token_endpoint: httpsUrl,
        token_endpoint_auth: z.discriminatedUnion('type', [
          z.strictObject({ type: z.literal('none') }),
          z.strictObject({ type: z.literal('client_secret_basic'), client_secret: secret }),
          z.strictObject({ type: z.literal('client_secret_post'), client_secret: secret }),
        ]),
        resource: z.string().max(2_048).nullish(),
        scope: z.string().max(2_048).nullish(),
      })
      .nullish(),
  }),
  z.strictObject({
    type: z.literal('slack_user'),
    token: secret.regex(
      /^(?:xoxe\.)?xoxp-/,
      'a user token, which begins with xoxp-; a bot token belongs to its publication',
    ),
  }),
  z.strictObject({
    type: z.literal('environment_variable'),
    secret_name: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/)
      .refine(
        (each) => !/^(?:PATH|HOME|LD_.*|NODE_OPTIONS|BASH_ENV|.*_PROXY)$/i.test(each),
        'a name that the sandbox itself uses',
      ),
    secret_value: secret,
    networking: z.discriminatedUnion('type', [
      z.strictObject({ type: z.literal('unrestricted') }),
      z.strictObject({ type: z.literal('limited'), allowed_hosts: z.array(hostPattern).min(1).max(16) }),
    ]),
    injection_location: z
      .strictObject({ header: z.boolean().default(false), body: z.boolean().default(false) })
      .default({ header: true, body: false }),
  }),
]);

export type AuthInput = z.output<typeof authInput>;

/** A credential taken apart: what is sealed, and what is kept readable. */
export interface SplitAuth {
  kind: CredentialKind;
  secret: Record<string, string>;
  detail: Omit<VaultCredentialDetail, 'metadata'>;
}

/** Takes the secrets out of an input; `auth` in the detail is what the API shows of it from then on. */
export function splitAuth(auth: AuthInput): SplitAuth {
  const kind = auth.type;
  if (auth.type === 'environment_variable') {
    const { secret_name, secret_value, networking, injection_location } = auth;
    const hosts = networking.type === 'limited' ? networking.allowed_hosts : null;
    return {
      kind,
      secret: { value: secret_value },
      detail: {
        auth: { type: kind, secret_name, networking, injection_location },
        variable: {
          name: secret_name,
          placeholder: placeholderFor(secret_value),
          hosts,
          ...injection_location,
        },
      },
    };
  }
  if (auth.type === 'slack_user') {
    const shown = { type: kind, mcp_server_url: slackMcpUrl };
    return { kind, secret: { token: auth.token }, detail: { auth: shown, rule: ruleOf(shown) } };
  }
  const where =
    'match' in auth && auth.match ? { match: auth.match } : { mcp_server_url: auth.mcp_server_url };
  const base = { kind, detail: { auth: { type: kind, ...where }, rule: ruleOf(auth) } };
  switch (auth.type) {
    case 'static_bearer':
      return { ...base, secret: { token: auth.token } };
    case 'basic':
      return {
        ...base,
        secret: { username: auth.username, password: auth.password },
        detail: { ...base.detail, auth: { ...base.detail.auth, username: auth.username } },
      };
    case 'query':
      return {
        ...base,
        secret: { value: auth.value },
        detail: { ...base.detail, auth: { ...base.detail.auth, name: auth.name }, parameter: auth.name },
      };
    case 'header': {
      const headers = auth.headers.map((each) => ({ name: each.name, prefix: each.prefix }));
      return {
        ...base,
        secret: Object.fromEntries(auth.headers.map(({ value }, i) => [`value_${i}`, value])),
        detail: { ...base.detail, auth: { ...base.detail.auth, headers }, headers },
      };
    }
    case 'mcp_oauth':
      return splitOauth(auth, base.detail.rule);
  }
}

function splitOauth(auth: Extract<AuthInput, { type: 'mcp_oauth' }>, rule: CredentialRuleText): SplitAuth {
  const { refresh, expires_at, mcp_server_url } = auth;
  const shown = refresh && {
    client_id: refresh.client_id,
    token_endpoint: refresh.token_endpoint,
    token_endpoint_auth: { type: refresh.token_endpoint_auth.type },
    resource: refresh.resource ?? null,
    scope: refresh.scope ?? null,
  };
  const how = refresh?.token_endpoint_auth;
  return {
    kind: 'mcp_oauth',
    secret: {
      access_token: auth.access_token,
      ...(refresh ? { refresh_token: refresh.refresh_token } : {}),
      ...(how && how.type !== 'none' ? { client_secret: how.client_secret } : {}),
    },
    detail: {
      auth: { type: 'mcp_oauth', mcp_server_url, refresh: shown ?? null },
      rule,
      oauth: {
        expiresAt: expires_at ?? undefined,
        refresh: refresh
          ? {
              tokenEndpoint: refresh.token_endpoint,
              clientId: refresh.client_id,
              authentication: refresh.token_endpoint_auth.type,
              resource: refresh.resource ?? undefined,
              scope: refresh.scope ?? undefined,
            }
          : undefined,
      },
    },
  };
}

function ruleOf(auth: {
  match?: CredentialRuleText | undefined;
  mcp_server_url?: string | undefined;
}): CredentialRuleText {
  const rule = auth.match ?? (auth.mcp_server_url ? ruleForUrl(new URL(auth.mcp_server_url)) : undefined);
  if (!rule) throw new TypeError('An input without a place was let through.');
  return rule;
}

/** Looks like the real one to a program that checks its first letters, and is worth nothing. */
function placeholderFor(value: string): string {
  const prefix = /^[A-Za-z]{2,8}[-_]/.exec(value)?.[0] ?? '';
  return `${prefix}tagalong${randomBytes(18).toString('hex')}`;
}
