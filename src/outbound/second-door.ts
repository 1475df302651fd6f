import { z } from 'zod';
import { capabilityTables } from '../capabilities/tables.ts';
import {
  type ProviderAdapter,
  type ProviderContext,
  ProviderError,
  type Writer,
} from '../providers/provider.ts';
import { withOrganization } from '../store/organization.ts';
import { markRead, readAudienceOf } from '../store/outsiders.ts';
import type { ProviderName } from '../store/schema.ts';
import type { DoorAnswer, DoorBrings, DoorQuestion } from '../vault/egress/protocol.ts';
import type { SessionPort } from './approvals/session-port.ts';
import { type Askers, loadAskers, objectionToAsker } from './asker-check.ts';
import { boundedFetch, untilAborted } from './bounded-fetch.ts';
import { findCaller, loadStanding, type Standing } from './caller.ts';
import type { OutboundDependencies } from './dependencies.ts';
import { objectionToAccess, objectionToPlace } from './place-check.ts';
import { outsidersAmong, recordOutsiders } from './readings.ts';
import { type ActionTarget, loadTarget } from './target.ts';

export interface DoorDependencies extends OutboundDependencies {
  workerId: string;
  sessions: Pick<SessionPort, 'record'>;
}

const askMs = 20_000;

const place = z.record(z.string(), z.string()).optional();
const writer = z.object({
  author: z.object({ id: z.string(), name: z.string().optional(), kind: z.enum(['person', 'bot', 'api']) }),
  authorHint: z.record(z.string(), z.string()).optional(),
});
const provider = z.custom<ProviderName>(
  (name) => typeof name === 'string' && Object.hasOwn(capabilityTables, name),
);
const about = { provider, request: z.string(), place };
const brings = z.discriminatedUnion('by', [
  z.object({ by: z.literal('named'), writers: z.array(writer).nullable(), pull: z.string().optional() }),
  z.object({ by: z.literal('pull'), pull: z.string() }),
  z.object({ by: z.literal('forks') }),
  z.object({ by: z.literal('anybody') }),
]);

/** The question as the egress process sends it. */
export const doorQuestion: z.ZodType<DoorQuestion> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('write'), ...about }),
  z.object({ kind: z.literal('read_elsewhere'), ...about }),
  z.object({ kind: z.literal('texts'), ...about, brings }),
]);

/**
 * Answers the egress process about one request of a session at the second door, by the rules of the first: before a write
 * the provider is asked whether who asked still has authority, and what was read elsewhere stays where as few can see it;
 * a read elsewhere needs the asker's own access; whose text comes back goes on record. Only a broken database rejects.
 */
export async function answerDoor(
  dependencies: DoorDependencies,
  sessionId: string,
  question: DoorQuestion,
): Promise<DoorAnswer> {
  const { database, platformFetch, workerId } = dependencies;
  const caller = await findCaller(database, sessionId, question.provider);
  if (!caller) return no('This session does not act there.');
  const { organizationId } = caller;
  const { standing, target, askers } = await withOrganization(database, organizationId, async (tx) => {
    const standing = await loadStanding(tx, caller, workerId);
    const at = standing.anchor && { anchorId: standing.anchor.id, turnId: standing.turn?.id ?? null };
    return {
      standing,
      target: at && (await loadTarget(tx, at)),
      askers: at && (await loadAskers(tx, at)),
    };
  });
  if (!target || !askers) return no('This session has no place there to act in.');
  const deadline = AbortSignal.timeout(askMs);
  const fetch = boundedFetch(
    platformFetch({ organizationId, installationId: target.installationId }),
    deadline,
  );
  const adapter = dependencies.adapters[question.provider];
  const asked = { organizationId, sessionId, standing, target, askers, adapter };
  const context = { fetch, identity: target.identity };
  try {
    const reason = await untilAborted(objectionTo(dependencies, { ...asked, context }, question), deadline);
    return reason === undefined ? { ok: true } : no(reason);
  } catch (error) {
    if (deadline.aborted) return no('The provider did not answer in time. Try again later.');
    if (error instanceof ProviderError)
      return no(`The provider was asked, and did not answer: ${error.message}`);
    throw error;
  }
}

const no = (reason: string): DoorAnswer => ({ ok: false, reason });

interface Asking {
  organizationId: string;
  sessionId: string;
  standing: Standing;
  target: ActionTarget;
  askers: Askers;
  adapter: ProviderAdapter;
  context: ProviderContext;
}

async function objectionTo(
  dependencies: DoorDependencies,
  asking: Asking,
  question: DoorQuestion,
): Promise<string | undefined> {
  const { database } = dependencies;
  const { organizationId, sessionId, standing, target, askers, adapter, context } = asking;
  const { turn } = standing;
  if (!turn && question.kind !== 'texts')
    return 'No turn is running in this session, so nothing can be done outside now.';
  const own = question.place ?? target.target.place;
  switch (question.kind) {
    case 'write': {
      const gone = askers.toAsk && (await objectionToAsker(adapter, context, askers.toAsk, askers.rules));
      if (gone !== undefined) return gone;
      const read = await withOrganization(database, organizationId, (tx) => readAudienceOf(tx, sessionId));
      return objectionToPlace(adapter, context, { own, elsewhere: undefined, read, asker: askers.person });
    }
    case 'read_elsewhere': {
      const closed = await objectionToAccess(adapter, context, own, askers.person);
      if (closed !== undefined) return closed;
      const audience = await adapter.audience(context, own);
      await withOrganization(database, organizationId, (tx) => markRead(tx, sessionId, audience));
      return undefined;
    }
    case 'texts': {
      const writers = await writersOf(asking, question.brings, own);
      const outsiders =
        writers && (await outsidersAmong(adapter, context, askers.rules, askers.anchor, writers));
      if (outsiders?.length === 0) return undefined;
      const at = { organizationId, sessionId, turnId: turn?.id ?? null };
      await withOrganization(database, organizationId, (tx) =>
        recordOutsiders(tx, dependencies.sessions, at, { by: question.request, outsiders }),
      );
      return undefined;
    }
  }
}

/** Who wrote what a read brings back; undefined where nobody can tell. */
async function writersOf(
  { adapter, context }: Asking,
  brought: DoorBrings,
  place: Record<string, string> | ActionTarget['target']['place'],
): Promise<readonly Writer[] | undefined> {
  switch (brought.by) {
    case 'named':
      return brought.writers?.map(withoutUndefined) ?? writersOfPull(adapter, context, place, brought.pull);
    case 'pull':
      return writersOfPull(adapter, context, place, brought.pull);
    case 'forks':
      // Into what only some can see, only those can bring something.
      return (await adapter.audience(context, place)) === 'public' ? undefined : [];
    case 'anybody':
      return undefined;
  }
}

async function writersOfPull(
  adapter: ProviderAdapter,
  context: ProviderContext,
  place: ActionTarget['target']['place'],
  pull: string | undefined,
): Promise<readonly Writer[] | undefined> {
  if (pull === undefined) return undefined;
  try {
    return await adapter.writersOfPull?.(context, place, pull);
  } catch (error) {
    if (error instanceof ProviderError && error.code === 'refused') return undefined;
    throw error;
  }
}

const withoutUndefined = ({ author: { id, name, kind }, authorHint }: z.output<typeof writer>): Writer => ({
  author: { id, kind, ...(name !== undefined && { name }) },
  ...(authorHint && { authorHint }),
});
