import { z } from 'zod';
import { parseAllowedHost } from '../../vault/egress/allowed-hosts.ts';
import { ApiError } from '../errors.ts';
import { metadata, metadataChanges } from './agents.ts';

/** One entry of a list of hosts that may be reached. */
export const allowedHost = z
  .string()
  .max(300)
  .refine(
    (text) => parseAllowedHost(text) !== undefined,
    'the name of a public host, as example.com, *.example.com or example.com:8443, without scheme, and where only a part of it is meant with its path, as example.com/v1 (no dot segments, query, * or comma)',
  );

const networking = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('unrestricted') }),
  z.strictObject({
    type: z.literal('limited'),
    allowed_hosts: z.array(allowedHost).max(200).default([]),
    allow_mcp_servers: z.boolean().default(false),
    allow_package_managers: z.boolean().default(false),
  }),
]);

const managers = ['apt', 'cargo', 'gem', 'go', 'npm', 'pip'] as const;
const noPackages = z
  .array(z.string())
  .max(
    0,
    'packages are not installed beforehand here: let the agent install them, with allow_package_managers',
  )
  .default([]);
const packages = z.strictObject(Object.fromEntries(managers.map((name) => [name, noPackages])));

/** Without `networking` nothing is reached: what is to be open is said. */
const cloud = z.strictObject({
  type: z.literal('cloud'),
  networking: networking.default({
    type: 'limited',
    allowed_hosts: [],
    allow_mcp_servers: false,
    allow_package_managers: false,
  }),
  packages: packages.prefault({}),
});
const selfHosted = z.looseObject({ type: z.literal('self_hosted') });
const config = z.discriminatedUnion('type', [cloud, selfHosted]);

const name = z.string().trim().min(1).max(256);
const description = z.string().max(2_048);
/** Of the Managed Agents API; here an environment is its organization's. */
const scope = z.literal('organization', 'an environment belongs to its organization here').nullish();

export const environmentInput = z.strictObject({
  name,
  description: description.default(''),
  config: config.prefault({ type: 'cloud' }),
  metadata: metadata.default({}),
  scope,
});

export const environmentChanges = z.strictObject({
  name: name.optional(),
  description: description.optional(),
  /** As a whole. */
  config: config.optional(),
  metadata: metadataChanges,
  scope,
});

/** The configuration as it is stored. Throws for one that this server does not run. */
export function checkConfig(input: z.output<typeof config>): Record<string, unknown> {
  if (input.type === 'cloud') return input;
  throw new ApiError(
    'invalid_request_error',
    'config.type: self_hosted environments are not offered: this server is self-hosted itself and runs every session in its own sandboxes. Use cloud.',
  );
}
