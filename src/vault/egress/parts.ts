import type { Logger } from 'pino';
import type { EgressLimits } from '../../config.ts';
import type { Database } from '../../store/connection.ts';
import type { CredentialStore } from '../credential-store.ts';
import type { InstallationTokens } from '../github-app.ts';
import type { KnownSecrets } from '../known-secrets.ts';
import type { RotatingTokens } from '../rotating-tokens.ts';
import type { VaultTokens } from '../vault-tokens.ts';
import type { BodyBudget } from './bodies.ts';
import type { ClientResponse } from './client-messages.ts';
import type { FairQueue } from './fair-queue.ts';
import type { GitNeeds } from './git-door.ts';
import type { JsonBodies } from './json-bodies.ts';
import type { RequestNeeds, WritersIn } from './provider-door.ts';
import type { EgressRecord, Recorder } from './records.ts';
import type { Redactions } from './redaction.ts';
import { egressHeader, failed, type Refusal, RefusedError, refusalBody, retryAfter } from './refusal.ts';
import type { HouseRules } from './session-policy.ts';
import type { PoolOptions } from './upstream-pools.ts';
import type { AskWorker } from './worker-door.ts';

/** What the doors of the egress process share. */
export interface EgressParts {
  database: Database;
  logger: Logger;
  now: () => number;
  recorder: Recorder;
  credentials: CredentialStore;
  tokens: InstallationTokens;
  vaultTokens: VaultTokens;
  secrets: KnownSecrets;
  /** Access tokens of installations that end and are refreshed. */
  rotatingTokens: RotatingTokens;
  rules: HouseRules;
  needs: RequestNeeds;
  writersIn: WritersIn;
  git: GitNeeds | undefined;
  network: PoolOptions;
  budget: BodyBudget;
  queue: FairQueue;
  jsonBodies: JsonBodies;
  /** Of each session. */
  limits: EgressLimits;
  /** Searches of what comes back for what was put on. */
  redactions: Redactions;
  /** The worker's Unix socket behind `tagalong.internal`. */
  internalSocket: string;
  askWorker: AskWorker;
}

/** Answers with a refusal. When an answer has already begun, it is cut instead. */
export function answerRefusal(response: ClientResponse, refusal: Refusal): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const body = refusalBody(refusal);
  const later = retryAfter(refusal);
  response.writeHead(refusal.status, {
    [egressHeader]: refusal.decision,
    'content-type': 'application/json',
    'content-length': body.byteLength,
    ...(later ? { 'retry-after': later } : {}),
    ...(refusal.close ? { connection: 'close' } : {}),
  });
  response.end(body);
}

/** What is known of a request when it comes in; the rest is filled in at its end. */
export type RecordStart = Omit<
  EgressRecord,
  'status' | 'bytesUp' | 'bytesDown' | 'durationMs' | 'credential' | 'decision' | 'rule'
>;

/** Lets nothing through that could not be recorded. Throws a RefusedError. */
export function requireRecorder({ recorder }: Pick<EgressParts, 'recorder'>): void {
  if (!recorder.full) return;
  throw new RefusedError(failed('record.full', 'Requests cannot be recorded now. Try again later.', 503));
}

/** Records a request that was refused or failed before anything was passed on. */
export function recordRefusal(
  parts: EgressParts,
  start: RecordStart,
  refusal: Refusal,
  credential?: string,
): void {
  parts.recorder.add({
    ...start,
    status: refusal.status,
    bytesUp: 0,
    bytesDown: 0,
    durationMs: parts.now() - start.at.getTime(),
    credential: credential ?? null,
    decision: refusal.decision,
    rule: refusal.rule,
    message: refusal.message,
  });
}
