import { and, eq } from 'drizzle-orm';
import { requiredScopes } from '../../capabilities/scopes.ts';
import { bareReturnPath } from '../../providers/pages.ts';
import type { ManifestInput, ProviderPages } from '../../providers/publish-flow.ts';
import type { Transaction } from '../../store/connection.ts';
import { withOrganization } from '../../store/organization.ts';
import { agents, agentVersions, installations, publications } from '../../store/schema.ts';
import { ApiError, notFound } from '../errors.ts';
import type { FlowDeps, PublicationRow } from './deps.ts';

/** A publication with what its flow is made of. */
export interface Loaded {
  publication: PublicationRow;
  input: ManifestInput;
  pages: ProviderPages;
  /** Where it is installed, in the provider's words; undefined where it is not. */
  workspace: string | undefined;
}

/** Reads a publication and works out its manifest's input. Throws where there is no such publication. */
export function loadPublication(
  deps: FlowDeps,
  organizationId: string,
  publicationId: string,
): Promise<Loaded> {
  return withOrganization(deps.database, organizationId, (tx) => load(deps, tx, publicationId));
}

async function load(deps: FlowDeps, tx: Transaction, publicationId: string): Promise<Loaded> {
  const [row] = await tx
    .select({ publication: publications, persona: agentVersions })
    .from(publications)
    .innerJoin(agents, eq(agents.id, publications.agentId))
    .innerJoin(
      agentVersions,
      and(eq(agentVersions.agentId, agents.id), eq(agentVersions.version, agents.version)),
    )
    .where(eq(publications.id, publicationId));
  if (!row) throw notFound('publication', publicationId);
  const { publication, persona } = row;
  const [installation] = await tx
    .select()
    .from(installations)
    .where(eq(installations.publicationId, publicationId));
  const { provider, capabilities, policy, setup } = publication;
  const identity = installation?.identity;
  return {
    publication,
    pages: pagesOf(deps, publication),
    input: {
      name: setup.name ?? persona.name,
      description: persona.description ?? '',
      ...addresses(deps.config.baseUrl, publication),
      scopes: requiredScopes(provider, capabilities, policy),
    },
    workspace: identity && (identity.workspaceName ?? identity.workspaceId),
  };
}

function pagesOf(deps: FlowDeps, { provider, emulated }: PublicationRow): ProviderPages {
  const pages = emulated ? deps.config.pages?.emulated : deps.config.pages?.real;
  if (pages) return pages[provider];
  throw new ApiError(
    'conflict_error',
    'This publication belongs to the emulated workplace, which does not run now. Start the server without other publications.',
  );
}

/** The addresses that a publication's app is given. Pure. */
export function addresses(baseUrl: string, { id, provider }: Pick<PublicationRow, 'id' | 'provider'>) {
  return {
    baseUrl,
    webhookUrl: new URL(`/webhooks/${provider}/${id}`, baseUrl).href,
    redirectUrl: new URL(`/oauth/${provider}/callback`, baseUrl).href,
    setupUrl: new URL(`${bareReturnPath}?publication=${id}`, baseUrl).href,
  };
}

/** Why a provider's cloud will not reach this server, or undefined where nothing speaks against it. Pure. */
export function unreachableReason(baseUrl: string): string | undefined {
  const { protocol, hostname } = new URL(baseUrl);
  const isPrivate =
    /^(localhost|127\.|10\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.|\[)/.test(hostname) ||
    /\.(local|internal|lan)$/.test(hostname) ||
    !hostname.includes('.');
  if (isPrivate) {
    return `This server's address is ${baseUrl}, which nobody outside of this machine or network reaches. Set TAGALONG_BASE_URL to a public https address that leads here.`;
  }
  if (protocol !== 'https:') {
    return `This server's address is ${baseUrl}. Providers send people and events to https addresses only: set TAGALONG_BASE_URL to one.`;
  }
  return undefined;
}
