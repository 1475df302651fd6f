import type { OutboundRequest, RequestNeed } from '../provider.ts';

/** Linear's API is one GraphQL endpoint, not open to sandboxes: it is reached by the tools, each with its capability. */
export function requestNeed(_request: OutboundRequest): RequestNeed {
  return {
    ok: false,
    reason:
      'api.linear.app is not open to agents; use the linear_… tools (linear_comment, linear_read_issue).',
  };
}
