/** Every table, by what it is about. Tenant tables carry `organization_id` and composite foreign keys. */

export * from './tables/access.ts';
export * from './tables/agents.ts';
export * from './tables/approvals.ts';
export * from './tables/credential-grants.ts';
export * from './tables/egress-records.ts';
export * from './tables/environments.ts';
export * from './tables/inbox.ts';
export * from './tables/notices.ts';
export * from './tables/operations.ts';
export * from './tables/organizations.ts';
export * from './tables/outbound.ts';
export * from './tables/publications.ts';
export * from './tables/sessions.ts';
export * from './tables/vaults.ts';
