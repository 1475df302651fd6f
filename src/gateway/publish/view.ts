import { sql } from 'drizzle-orm';
import { capabilityTables } from '../../capabilities/tables.ts';
import { capabilityWords } from '../../capabilities/words.ts';
import { withOrganization } from '../../store/organization.ts';
import { providerTitles } from '../../store/provider-titles.ts';
import type { Grant, PublicationState } from '../../store/schema.ts';
import { pendingDifference, scopesToInstall } from './capabilities.ts';
import type { FlowDeps } from './deps.ts';
import { type Loaded, loadPublication, unreachableReason } from './input.ts';

/** What comes next in a publication's life. */
export type NextStep = 'create' | 'install' | 'done' | 'over';

/** One line of the checklist. */
export interface Check {
  id: 'app' | 'reachable' | 'signature' | 'installed' | 'event' | 'reply';
  label: string;
  done: boolean;
  hint: string;
}

/** The step that a state asks for. Pure. */
export function nextStep(state: PublicationState): NextStep {
  if (state === 'pending_setup') return 'create';
  if (state === 'unpublished') return 'over';
  return state === 'live' ? 'done' : 'install';
}

interface Seen {
  signature: boolean;
  event: boolean;
  reply: boolean;
}

/** What has been seen of it, from what is stored. A verified request is the proof that the address is reached. */
async function seen(deps: FlowDeps, { publication }: Loaded): Promise<Seen> {
  const { rows } = await withOrganization(deps.database, publication.organizationId, (tx) =>
    tx.execute<{ signature: boolean; event: boolean; reply: boolean }>(sql`
      select
        exists (select from deliveries where publication_id = ${publication.id}) as signature,
        exists (
          select from deliveries where publication_id = ${publication.id}
          and (outcome = 'routed' or reason not in ('unsupported_event', 'unknown_installation', 'malformed'))
        ) as event,
        exists (
          select from actions a join installations i on i.id = a.installation_id
          where i.publication_id = ${publication.id} and a.tool = 'reply' and a.state = 'sent'
        ) as reply`),
  );
  return rows[0] ?? { signature: false, event: false, reply: false };
}

async function checklist(deps: FlowDeps, loaded: Loaded, challenged: boolean): Promise<Check[]> {
  const { publication, workspace } = loaded;
  const { provider, state } = publication;
  const found = await seen(deps, loaded);
  const title = providerTitles[provider];
  return [
    {
      id: 'app',
      label: `The app exists in ${title}`,
      done: state !== 'pending_setup',
      hint: 'Made in the first step, from the manifest.',
    },
    {
      id: 'reachable',
      label: `${title} reaches this server`,
      done: challenged || found.signature,
      hint:
        unreachableHint(deps, loaded) ?? `${title} calls the webhook address when the app is made or used.`,
    },
    {
      id: 'signature',
      label: 'A signature was verified',
      done: found.signature,
      hint: 'The first event that is signed with the secret that is stored here.',
    },
    {
      id: 'installed',
      label: workspace ? `Installed in ${workspace}` : 'Installed',
      done: state === 'live',
      hint: 'The second step.',
    },
    {
      id: 'event',
      label: 'A message was received',
      done: found.event,
      hint: deps.adapters[provider].publishFlow.firstWords,
    },
    { id: 'reply', label: 'A reply was posted', done: found.reply, hint: 'The answer to that message.' },
  ];
}

function unreachableHint({ config }: FlowDeps, { publication }: Loaded): string | undefined {
  return publication.emulated ? undefined : unreachableReason(config.baseUrl);
}

/** A capability as people see it. */
export interface CapabilityView {
  name: string;
  words: string;
  usual: Grant;
  grant: Grant;
}

/** Every capability of a publication's provider with the grant in force. Pure. */
export function capabilityViews({ publication }: Pick<Loaded, 'publication'>): CapabilityView[] {
  const { provider, capabilities } = publication;
  return Object.entries(capabilityTables[provider]).map(([name, usual]) => ({
    name,
    words: capabilityWords[provider][name] ?? name,
    usual,
    grant: capabilities[name] ?? usual,
  }));
}

/** `GET /v1/publications/{id}/setup`: everything that a wizard shows. */
export async function setupView(
  deps: FlowDeps,
  organizationId: string,
  publicationId: string,
  wasChallenged: (publicationId: string) => boolean,
) {
  const loaded = await loadPublication(deps, organizationId, publicationId);
  const { publication, input, workspace } = loaded;
  const flow = deps.adapters[publication.provider].publishFlow;
  return {
    type: 'publication_setup',
    publication_id: publication.id,
    provider: publication.provider,
    provider_title: providerTitles[publication.provider],
    name: input.name,
    state: publication.state,
    state_reason: publication.stateReason,
    emulated: publication.emulated,
    guided: publication.setup.flow === 'manifest',
    next: nextStep(publication.state),
    workspace: workspace ?? null,
    app: {
      client_id: publication.setup.clientId ?? null,
      app_id: publication.setup.appId ?? null,
      slug: publication.setup.slug ?? null,
      owner: publication.setup.owner ?? null,
      url: publication.setup.appUrl ?? null,
    },
    webhook_url: input.webhookUrl,
    redirect_url: input.redirectUrl,
    scopes: input.scopes,
    manifest: flow.manifest(input),
    app_fields: flow.appFields,
    capabilities: capabilityViews(loaded),
    pending_capabilities: pendingDifference(publication),
    missing_scopes: scopesToInstall(publication),
    policy: publication.policy,
    checklist: await checklist(deps, loaded, wasChallenged(publication.id)),
    warning: unreachableHint(deps, loaded) ?? null,
  };
}
