import type { OutboundRequest, RequestNeed } from '../provider.ts';

/** Slack's API is not open to sandboxes: its methods are reached by the tools, each with its capability. */
export function requestNeed(_request: OutboundRequest): RequestNeed {
  return {
    ok: false,
    reason:
      'slack.com is not open to agents; use the slack_… tools (slack_reply, slack_read_thread, slack_react).',
  };
}
