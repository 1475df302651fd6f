import { timingSafeEqual } from 'node:crypto';
import { Hono } from 'hono';
import type { Clock } from '../clock.ts';
import { type DeliveryState, WebhookSender } from '../deliveries.ts';
import type { WorkplaceSecrets } from '../secrets.ts';
import { LinearDesk } from './desk.ts';
import { linearError } from './errors.ts';
import { answerGraphql } from './graphql.ts';
import { mutationFields } from './mutations.ts';
import { queryFields } from './queries.ts';
import { firstRecords, type LinearRecords } from './records.ts';
import { agentSessionEvent, linearDeliveryPolicy } from './webhooks.ts';

export interface LinearState {
  records: LinearRecords;
  deliveries: DeliveryState;
}

export interface LinearOfficeOptions {
  agentName: string;
  secrets: WorkplaceSecrets['linear'];
  clock: Clock;
  fetch: typeof fetch;
  changed(): void;
  state?: LinearState;
}

/** The stand-in for Linear: its GraphQL API at `/graphql`, and the agent session events that it sends. */
export interface LinearOffice {
  app: Hono;
  desk: LinearDesk;
  records: LinearRecords;
  sender: WebhookSender;
  state(): LinearState;
}

/** Starts the office, from its saved state when there is one. */
export function startLinear(options: LinearOfficeOptions): LinearOffice {
  const { secrets, clock, changed, state } = options;
  const records = state?.records ?? firstRecords(options.agentName, new Date(clock.now()).toISOString());
  const sender = new WebhookSender({
    policy: linearDeliveryPolicy(secrets.signingSecret),
    clock,
    fetch: options.fetch,
    changed,
    ...(state ? { state: state.deliveries } : {}),
  });
  const desk = new LinearDesk({
    records,
    clock,
    changed,
    tell(session, activity) {
      const payload = agentSessionEvent(records, session, activity, desk.stamp());
      void sender.send('AgentSessionEvent', payload);
    },
  });
  return {
    app: linearApi(desk, secrets.accessToken),
    desk,
    records,
    sender,
    state: () => ({ records, deliveries: sender.state() }),
  };
}

function linearApi(desk: LinearDesk, accessToken: string): Hono {
  const roots = { ...queryFields(desk), ...mutationFields(desk) };
  const app = new Hono();
  app.post('/graphql', async (c) => {
    const wanted = Buffer.from(`Bearer ${accessToken}`);
    const given = Buffer.from(c.req.header('authorization') ?? '');
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) {
      const error = linearError('unauthenticated', 'Authentication required, not authenticated');
      return c.json({ errors: [error.toJSON()] }, 401);
    }
    const request = (await c.req.json().catch(() => ({}))) as Record<string, unknown>;
    const { status, body } = await answerGraphql(request ?? {}, roots);
    return c.json(body, status as 200);
  });
  app.all('*', (c) => c.json({ error: 'Not found' }, 404));
  return app;
}
