import type { CredentialKind } from '../store/schema.ts';
import { type CredentialRule, type CredentialRuleText, parseCredentialRule } from './credential-rules.ts';
import { type HostPattern, parseHostPattern } from './egress/host-names.ts';
import { readTokenEndpoint, type TokenEndpoint } from './token-endpoint.ts';

/** What of a credential in a vault is no secret: the `detail` column. */
export interface VaultCredentialDetail {
  /** As the API shows it, without secrets. */
  auth: Record<string, unknown>;
  metadata: Record<string, string>;
  /** All kinds but `environment_variable`. */
  rule?: CredentialRuleText;
  /** `header`: names and prefixes in the order of the secret's values. */
  headers?: { name: string; prefix: string }[];
  /** `query`. */
  parameter?: string;
  variable?: {
    name: string;
    placeholder: string;
    /** Null: every host that the session may reach. */
    hosts: string[] | null;
    header: boolean;
    body: boolean;
  };
  oauth?: OauthDetail;
}

export interface OauthDetail {
  /** ISO 8601; undefined when the server did not say. */
  expiresAt?: string | undefined;
  refresh?:
    | {
        tokenEndpoint: string;
        clientId: string;
        authentication: 'none' | 'client_secret_basic' | 'client_secret_post';
        resource?: string | undefined;
        scope?: string | undefined;
      }
    | undefined;
  /** Set when nothing is asked again until it is entered anew; `refused` says why, in words. */
  needsReauth?: 'refresh_refused' | 'refresh_unknown' | undefined;
  refused?: string | undefined;
  /** A process is asking since then. */
  refreshing?: { by: string; at: string } | undefined;
  /** The server asked for time, ISO 8601. */
  notBefore?: string | undefined;
  /** What the server last said that it grants; may be less than what was asked for. */
  grantedScope?: string | undefined;
}

/** A credential of one of the session's vaults, still sealed. */
export interface VaultCredential {
  id: string;
  version: number;
  kind: CredentialKind;
  displayName: string;
  sealed: string;
  detail: VaultCredentialDetail;
}

/** With the rule read; `rule` is undefined for variables. */
export interface ReadVaultCredential extends VaultCredential {
  rule: CredentialRule | undefined;
  hosts: readonly HostPattern[] | null;
  /** Where its tokens are given out. */
  tokenEndpoint?: TokenEndpoint | undefined;
  /** Lent to the session until then, ms. */
  until?: number | undefined;
}

export const vaultCredentialKinds = [
  'static_bearer',
  'header',
  'basic',
  'query',
  'mcp_oauth',
  'slack_user',
  'environment_variable',
] as const satisfies readonly CredentialKind[];

/** Reads a row's rule once. A credential whose rule cannot be understood stands for no request. */
export function readVaultCredential(row: VaultCredential): ReadVaultCredential | undefined {
  const { variable, rule: text, oauth } = row.detail;
  if (row.kind === 'environment_variable') {
    if (!variable) return undefined;
    const hosts = variable.hosts?.flatMap((host) => parseHostPattern(host) ?? []) ?? null;
    return { ...row, rule: undefined, hosts };
  }
  const rule = text && parseCredentialRule(text);
  return (
    rule && { ...row, rule, hosts: null, tokenEndpoint: readTokenEndpoint(oauth?.refresh?.tokenEndpoint) }
  );
}
