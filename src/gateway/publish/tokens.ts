import { hash, randomBytes } from 'node:crypto';
import { and, eq, gt, isNull, sql } from 'drizzle-orm';
import type { Database } from '../../store/connection.ts';
import { type PublishStep, type PublishTokenKind, publishTokens } from '../../store/schema.ts';
import type { GatewaySecrets } from '../secrets.ts';

const hourMs = 3_600_000;
export const lifetimesMs: Readonly<Record<PublishTokenKind, number>> = {
  start: hourMs,
  state: hourMs,
  handoff: 7 * 24 * hourMs,
  handoff_session: 7 * 24 * hourMs,
};

export type PublishToken = typeof publishTokens.$inferSelect;

/** Why a link or a state is not taken. */
export type TokenFault = 'missing' | 'altered' | 'unknown' | 'expired' | 'used' | 'revoked' | 'other_browser';
export type TokenResult = { ok: true; token: PublishToken } | { ok: false; fault: TokenFault };

export interface TokenDeps {
  database: Database;
  secrets: Pick<GatewaySecrets, 'sign'>;
  clock: () => Date;
}

export interface NewToken {
  organizationId: string;
  publicationId: string;
  kind: PublishTokenKind;
  step?: PublishStep;
  /** The cookie of the browser that alone may bring it back. */
  browser?: string;
  /** Not longer than this. */
  until?: Date;
}

export const hashOf = (secret: string): string => hash('sha256', secret, 'hex');
export const newSecret = (): string => randomBytes(32).toString('base64url');

/** Makes one. A state also carries our signature, so that what was altered on the way is known as such. */
export async function createPublishToken(
  deps: TokenDeps,
  input: NewToken,
): Promise<{ value: string; expiresAt: Date }> {
  const secret = newSecret();
  const createdAt = deps.clock();
  const usual = new Date(createdAt.getTime() + lifetimesMs[input.kind]);
  const expiresAt = input.until && input.until < usual ? input.until : usual;
  await deps.database.insert(publishTokens).values({
    hash: hashOf(secret),
    organizationId: input.organizationId,
    publicationId: input.publicationId,
    kind: input.kind,
    step: input.step ?? null,
    browserHash: input.browser === undefined ? null : hashOf(input.browser),
    createdAt,
    expiresAt,
  });
  return { value: `${secret}.${signatureOf(deps, input.kind, secret)}`, expiresAt };
}

function signatureOf(deps: TokenDeps, kind: PublishTokenKind, secret: string): string {
  return deps.secrets.sign('state', `${kind}.${secret}`).slice(0, 22);
}

/** The secret half of a value, when the signature fits. */
function secretOf(deps: TokenDeps, kind: PublishTokenKind, value: string): string | undefined {
  const [secret = '', signature = '', ...rest] = value.split('.');
  if (rest.length > 0 || secret.length !== 43) return undefined;
  // A wrong signature gives nothing away: the secret is random, and looked up by its hash.
  return signatureOf(deps, kind, secret) === signature ? secret : undefined;
}

/** Looks at one without using it up. The lookup crosses organizations: whoever brings it does not say whose it is. */
export async function findPublishToken(
  deps: TokenDeps,
  kind: PublishTokenKind,
  value: string | undefined,
  browser?: string,
): Promise<TokenResult> {
  if (!value) return { ok: false, fault: 'missing' };
  const secret = secretOf(deps, kind, value);
  if (secret === undefined) return { ok: false, fault: 'altered' };
  const [token] = await deps.database
    .select()
    .from(publishTokens)
    .where(and(eq(publishTokens.hash, hashOf(secret)), eq(publishTokens.kind, kind)));
  if (!token) return { ok: false, fault: 'unknown' };
  if (token.revokedAt) return { ok: false, fault: 'revoked' };
  if (token.usedAt) return { ok: false, fault: 'used' };
  if (token.expiresAt <= deps.clock()) return { ok: false, fault: 'expired' };
  const bound = token.browserHash;
  if (bound !== null && (browser === undefined || hashOf(browser) !== bound)) {
    return { ok: false, fault: 'other_browser' };
  }
  return { ok: true, token };
}

/** Uses one up. Of two at once, one gets it. */
export async function redeemPublishToken(
  deps: TokenDeps,
  kind: PublishTokenKind,
  value: string | undefined,
  browser?: string,
): Promise<TokenResult> {
  const found = await findPublishToken(deps, kind, value, browser);
  if (!found.ok) return found;
  const now = deps.clock();
  const [token] = await deps.database
    .update(publishTokens)
    .set({ usedAt: now })
    .where(
      and(
        eq(publishTokens.hash, found.token.hash),
        isNull(publishTokens.usedAt),
        isNull(publishTokens.revokedAt),
        gt(publishTokens.expiresAt, now),
      ),
    )
    .returning();
  return token ? { ok: true, token } : { ok: false, fault: 'used' };
}

/** The proof of a state (PKCE): made again from the state itself, so that it is stored nowhere. */
export function verifierOf(deps: TokenDeps, state: string): string {
  return deps.secrets.sign('pkce', state);
}

/** What of the proof goes to the provider first. */
export function challengeOf(verifier: string): string {
  return hash('sha256', verifier, 'base64url');
}

/** Removes what ended a day ago; for a sweep. Answers how many. */
export async function forgetPublishTokens(database: Database, now: Date): Promise<number> {
  const before = new Date(now.getTime() - 24 * hourMs);
  const gone = await database.delete(publishTokens).where(sql`${publishTokens.expiresAt} < ${before}`);
  return gone.rowCount ?? 0;
}
