import {
  type DestinationResult,
  decideDestination,
  type HouseRules,
  type SessionPolicy,
} from './session-policy.ts';
import { tokenEndpointRefusal } from './token-endpoints.ts';

/**
 * May this session send this request? What `decideDestination` says of the host once more, now that there is a path, and
 * what is refused by path alone. Pure. `host` is canonical, `path` as the gate let it through.
 */
export function decideRequest(
  policy: SessionPolicy,
  host: string,
  port: number,
  path: string,
  rules: HouseRules,
): DestinationResult {
  const decided = decideDestination(policy, host, port, rules, path);
  const refusal = decided.ok ? tokenEndpointRefusal(policy, host, path) : undefined;
  return refusal ? { ok: false, refusal } : decided;
}
