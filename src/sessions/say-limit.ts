import { submitPlatformAction } from '../outbound/platform-action.ts';
import type { AnchorAddress, ProviderAdapter } from '../providers/provider.ts';
import type { Transaction } from '../store/connection.ts';
import { ensureAnchor } from './anchors.ts';
import type { Routed } from './routing.ts';

/** Says in the thread that a limit keeps the agent from working there, as an action of the platform's own. */
export async function sayLimit(
  tx: Transaction,
  adapter: ProviderAdapter,
  { publication, installation }: Routed,
  address: AnchorAddress,
  text: string,
): Promise<void> {
  const tool = adapter.tools.find((each) => each.name === 'failure');
  if (!tool) throw new Error(`The ${adapter.name} adapter has no tool failure.`);
  const { anchorId, sessionId } = await ensureAnchor(tx, publication, installation, address);
  await submitPlatformAction(tx, {
    organizationId: publication.organizationId,
    sessionId,
    provider: publication.provider,
    tool,
    arguments: { text },
    turnId: null,
    anchor: { id: anchorId, installationId: installation.id },
  });
}
