import { type AllowedHost, parseAllowedHosts } from './allowed-hosts.ts';

/** What a session's environment lets it reach, beside what its publication does. */
export type Networking =
  /** Every public host by https. */
  | { kind: 'unrestricted' }
  | {
      kind: 'limited';
      allowedHosts: readonly AllowedHost[];
      /** The MCP servers for which its vaults hold a credential. */
      mcpServers: boolean;
      /** The package registries, read only. */
      packageManagers: boolean;
    };

/** Of a session without an environment, and of one whose environment cannot be understood. */
export const noNetworking: Networking = {
  kind: 'limited',
  allowedHosts: [],
  mcpServers: false,
  packageManagers: false,
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads the `config` of a stored environment. What is not exactly as the API writes it allows nothing. */
export function readNetworking(config: unknown): Networking {
  const networking = isObject(config) && config.type === 'cloud' ? config.networking : undefined;
  if (!isObject(networking)) return noNetworking;
  if (networking.type === 'unrestricted') return { kind: 'unrestricted' };
  if (networking.type !== 'limited') return noNetworking;
  return {
    kind: 'limited',
    allowedHosts: parseAllowedHosts(networking.allowed_hosts),
    mcpServers: networking.allow_mcp_servers === true,
    packageManagers: networking.allow_package_managers === true,
  };
}
