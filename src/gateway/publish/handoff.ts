import { and, eq, gt, isNull } from 'drizzle-orm';
import { withOrganization } from '../../store/organization.ts';
import { publishTokens } from '../../store/schema.ts';
import { lockPublication } from './credentials.ts';
import type { FlowDeps } from './deps.ts';
import {
  createPublishToken,
  findPublishToken,
  newSecret,
  redeemPublishToken,
  type TokenResult,
} from './tokens.ts';

export const handoffCookie = 'tagalong_handoff';

/** A link with which somebody without an account does this publication's steps: once opened it belongs to that browser. */
export async function createHandoff(
  deps: FlowDeps,
  organizationId: string,
  publicationId: string,
): Promise<{ url: string; expiresAt: Date }> {
  await withOrganization(deps.database, organizationId, (tx) => lockPublication(tx, publicationId));
  const { value, expiresAt } = await createPublishToken(deps, {
    organizationId,
    publicationId,
    kind: 'handoff',
  });
  return { url: new URL(`/handoff/${value}`, deps.config.baseUrl).href, expiresAt };
}

/** Takes back every handoff of a publication, opened or not, and the links that were made by it. Answers how many. */
export async function revokeHandoffs(
  deps: FlowDeps,
  organizationId: string,
  publicationId: string,
): Promise<number> {
  const now = deps.clock();
  const revoked = await withOrganization(deps.database, organizationId, (tx) =>
    tx
      .update(publishTokens)
      .set({ revokedAt: now })
      .where(and(eq(publishTokens.publicationId, publicationId), isNull(publishTokens.revokedAt)))
      .returning(),
  );
  return revoked.filter((row) => row.kind === 'handoff' && row.usedAt === null).length;
}

/** How many handoffs of a publication wait to be opened, and how many are in use. */
export async function countHandoffs(deps: FlowDeps, organizationId: string, publicationId: string) {
  const rows = await withOrganization(deps.database, organizationId, (tx) =>
    tx
      .select({ kind: publishTokens.kind, usedAt: publishTokens.usedAt })
      .from(publishTokens)
      .where(
        and(
          eq(publishTokens.publicationId, publicationId),
          isNull(publishTokens.revokedAt),
          gt(publishTokens.expiresAt, deps.clock()),
        ),
      ),
  );
  return {
    waiting: rows.filter((row) => row.kind === 'handoff' && row.usedAt === null).length,
    opened: rows.filter((row) => row.kind === 'handoff_session').length,
  };
}

/** Opens a handoff in a browser: uses the link up and answers the cookie by which this browser goes on. */
export async function openHandoff(
  deps: FlowDeps,
  value: string,
): Promise<{ ok: true; cookie: string; expiresAt: Date } | Extract<TokenResult, { ok: false }>> {
  const opened = await redeemPublishToken(deps, 'handoff', value);
  if (!opened.ok) return opened;
  const { organizationId, publicationId, expiresAt } = opened.token;
  const session = await createPublishToken(deps, {
    organizationId,
    publicationId,
    kind: 'handoff_session',
    until: expiresAt,
  });
  return { ok: true, cookie: session.value, expiresAt };
}

/** Whose steps the browser with this cookie may do. */
export function findHandoffSession(deps: FlowDeps, cookie: string | undefined): Promise<TokenResult> {
  return findPublishToken(deps, 'handoff_session', cookie);
}

/** A new cookie value for a browser that has none: what it starts is bound to it. */
export const newBrowser = newSecret;
