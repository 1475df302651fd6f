import type { OauthDetail } from './vault-credential.ts';

/** What a token endpoint answered; `body` is undefined when it was no JSON object. */
export interface TokenAnswer {
  status: number;
  body: Record<string, unknown> | undefined;
  /** How long it asks to be left alone. */
  retryAfterMs?: number | undefined;
}

/** The headers and the form by which a token is refreshed: RFC 6749, sections 2.3.1 and 6; RFC 8707 for `resource`. */
export function refreshRequest(
  refresh: NonNullable<OauthDetail['refresh']>,
  secret: Readonly<Record<string, string>>,
): { headers: Record<string, string>; form: URLSearchParams } {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: secret.refresh_token ?? '',
    ...(refresh.resource ? { resource: refresh.resource } : {}),
    ...(refresh.scope ? { scope: refresh.scope } : {}),
  });
  const headers: Record<string, string> = {};
  if (refresh.authentication === 'client_secret_basic') {
    const pair = [refresh.clientId, secret.client_secret ?? ''].map(formEncoded).join(':');
    headers.authorization = `Basic ${Buffer.from(pair).toString('base64')}`;
  } else {
    form.set('client_id', refresh.clientId);
    if (refresh.authentication === 'client_secret_post')
      form.set('client_secret', secret.client_secret ?? '');
  }
  return { headers, form };
}

const formEncoded = (value: string): string => new URLSearchParams({ v: value }).toString().slice(2);

/** What an answer means for the credential. */
export type RefreshOutcome =
  | {
      kind: 'renewed';
      token: string;
      /** Undefined: the old one lives on. */
      refreshToken: string | undefined;
      expiresAt: string | undefined;
      /** What the server now grants, where it says so. */
      scope: string | undefined;
    }
  | { kind: 'refused'; reason: string }
  /** Not now: asked again after this time. */
  | { kind: 'later'; waitMs: number };

const defaultWaitMs = 30_000;
/** A hundred years. Some say "never" by a number beyond any date. */
export const maxLifeSeconds = 100 * 365 * 86_400;
/** Too early, too slow, too often: the server says nothing about the token. */
const passing = new Set([408, 425, 429]);

/** Reads an answer. Pure. */
export function readRefresh({ status, body, retryAfterMs }: TokenAnswer, nowMs: number): RefreshOutcome {
  const token = body?.access_token;
  if (status === 200 && typeof token === 'string' && token !== '') {
    const seconds = Number(body?.expires_in);
    return {
      kind: 'renewed',
      token,
      refreshToken: typeof body?.refresh_token === 'string' ? body.refresh_token : undefined,
      expiresAt:
        seconds > 0 ? new Date(nowMs + Math.min(seconds, maxLifeSeconds) * 1_000).toISOString() : undefined,
      scope: typeof body?.scope === 'string' ? body.scope.slice(0, 2_048) : undefined,
    };
  }
  const isPassing = status >= 500 || (status >= 300 && status < 400) || passing.has(status);
  if (isPassing) {
    return { kind: 'later', waitMs: retryAfterMs ?? defaultWaitMs };
  }
  const said = typeof body?.error === 'string' ? ` (${body.error.slice(0, 80)})` : '';
  return {
    kind: 'refused',
    reason: `The token endpoint answered ${status}${said} on ${new Date(nowMs).toISOString()}.`,
  };
}
