import { callServer } from '../api.ts';
import type { Policy } from './policy-form.ts';

export type Provider = 'slack' | 'github' | 'linear';
export type Grant = 'on' | 'ask' | 'off';

export interface Publication {
  id: string;
  provider: Provider;
  agent_id: string;
  name: string;
  state: string;
  state_reason: string | null;
  identity: { workspaceName?: string; workspaceId: string; handle?: string } | null;
  capabilities: Record<string, Grant>;
  policy: Policy;
  emulated: boolean;
}

export interface Capability {
  name: string;
  words: string;
  usual: Grant;
  grant: Grant;
}

/** By how much it would be allowed more. */
export interface Difference {
  /** Names exactly this difference. */
  difference: string;
  capabilities: { name: string; words: string; from: Grant; to: Grant }[];
  scopes: string[];
  requested_at: string;
}

export interface Setup {
  publication_id: string;
  provider: Provider;
  provider_title: string;
  name: string;
  state: string;
  state_reason: string | null;
  emulated: boolean;
  guided: boolean;
  next: 'create' | 'install' | 'done' | 'over';
  workspace: string | null;
  app: { client_id: string | null; slug: string | null; owner: string | null; url: string | null };
  webhook_url: string;
  redirect_url: string;
  scopes: string[];
  manifest: Record<string, unknown>;
  app_fields: { name: string; label: string; hint: string; secret: boolean }[];
  capabilities: Capability[];
  /** What waits for an admin's word; null where nothing does. */
  pending_capabilities: Difference | null;
  /** Scopes that the provider has yet to give. */
  missing_scopes: string[];
  policy: Policy;
  checklist: { id: string; label: string; done: boolean; hint: string }[];
  warning: string | null;
}

export interface Agent {
  id: string;
  name: string;
}

export interface Environment {
  id: string;
  name: string;
}

export interface Vault {
  id: string;
  display_name: string;
}

const at = (id: string, rest = '') => `/v1/publications/${encodeURIComponent(id)}${rest}`;

/** All publications, newest first, those that were ended included. Throws `ApiError`, as all of these do. */
export const listPublications = () =>
  callServer<{ data: Publication[] }>('GET', '/v1/publications?limit=100').then(({ data }) => data);

export const listAgents = () =>
  callServer<{ data: Agent[] }>('GET', '/v1/agents?limit=100').then(({ data }) => data);

export const fetchOptions = () =>
  callServer<{ emulated: boolean; warning: string | null }>('GET', '/v1/publication_options');

export const fetchSetup = (id: string) => callServer<Setup>('GET', at(id, '/setup'));
export const fetchPublication = (id: string) => callServer<Publication>('GET', at(id));

export const createPublication = (input: {
  provider: Provider;
  agent_id: string;
  name?: string;
  owner?: string;
  emulated?: boolean;
}) => callServer<Publication>('POST', '/v1/publications', input);

/** A single-use link that begins a step in the browser which opens it. */
export const createLink = (id: string, step: 'create' | 'install') =>
  callServer<{ url: string }>('POST', at(id, '/links'), { step });

export const giveCredentials = (id: string, typed: Record<string, string>) =>
  callServer<Setup>('POST', at(id, '/credentials'), typed);

export const replaceSecret = (id: string, secret: string) =>
  callServer<Setup>('POST', at(id, '/webhook_secret'), { webhook_secret: secret });

export const createHandoff = (id: string) =>
  callServer<{ url: string; expires_at: string }>('POST', at(id, '/handoffs'), {});

export const revokeHandoffs = (id: string) =>
  callServer<{ revoked: number }>('POST', at(id, '/handoffs/revoke'), {});

export const countHandoffs = (id: string) =>
  callServer<{ waiting: number; opened: number }>('GET', at(id, '/handoffs'));

export const confirm = (id: string) => callServer<Publication>('POST', at(id, '/confirm'), {});
export const unpublish = (id: string) => callServer<Publication>('POST', at(id, '/unpublish'), {});

export const saveSettings = (
  id: string,
  settings: { capabilities?: Record<string, Grant>; policy?: Policy },
) => callServer<Publication>('POST', at(id), settings);

/** Approves exactly the difference that was shown. */
export const approveDifference = (id: string, difference: string) =>
  callServer<Publication>('POST', at(id, '/capabilities/approve'), { difference });

export const rejectDifference = (id: string) =>
  callServer<Publication>('POST', at(id, '/capabilities/reject'), {});

export const listEnvironments = () =>
  callServer<{ data: Environment[] }>('GET', '/v1/environments?limit=100').then(({ data }) => data);

export const listVaults = () =>
  callServer<{ data: Vault[] }>('GET', '/v1/vaults?limit=100').then(({ data }) => data);
