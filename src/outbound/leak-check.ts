/**
 * Asked before each write: does this text hold a secret? The values are known to the egress process only, so whoever
 * composes the program supplies it.
 */
export type CheckOutbound = (
  organizationId: string,
  text: string,
) => Promise<{ ok: true } | { ok: false; reason: string }>;
