import { readPolicy } from '../../capabilities/policy.ts';
import type { ProviderAdapter } from '../../providers/provider.ts';
import type { ApprovalSetting } from './request.ts';

/** How a publication asks people, by its policy and with its provider's own tool. */
export function approvalSetting(
  adapter: Pick<ProviderAdapter, 'name' | 'tools'>,
  publicationId: string,
  policy: Readonly<Record<string, unknown>>,
): ApprovalSetting {
  const prompt = adapter.tools.find((tool) => tool.name === 'ask_approval');
  if (!prompt) throw new Error(`The ${adapter.name} adapter has no tool ask_approval.`);
  return { publicationId, rules: readPolicy(policy).approvals, prompt };
}
