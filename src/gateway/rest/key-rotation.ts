import type { Hono } from 'hono';
import { readKeyRotation, sealingKeyId } from '../../vault/key-rotation.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { ApiError } from '../errors.ts';

const maxShown = 100;

/** `/v1/key_rotation`: how many of the organization's secrets are still sealed to a root key that is being replaced. */
export function keyRotationRoutes(app: Hono<GatewayEnv>, { database, secrets }: GatewayDeps): void {
  app.get('/v1/key_rotation', async (c) => {
    const { organizationId } = c.var.caller;
    const credentialKid = await sealingKeyId(database, organizationId);
    if (credentialKid === undefined) {
      throw new ApiError('unavailable_error', 'There is no key for credentials yet. Try again in a moment.');
    }
    const { total, waiting } = await readKeyRotation(database, organizationId, {
      credentialKid,
      webhookKid: secrets.webhookKeyId,
    });
    return c.json({
      type: 'key_rotation',
      state: waiting.length === 0 ? 'finished' : 'running',
      total,
      waiting: waiting.length,
      waiting_ids: waiting.slice(0, maxShown),
    });
  });
}
