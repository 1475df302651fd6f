import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Pool } from 'pg';
import type { Logger } from 'pino';
import type { WebhookRequest, WebhookRules } from '../providers/provider.ts';
import type { ProviderName } from '../store/schema.ts';
import { BodyBudget, type BodyResult, readBody } from './body.ts';
import { type PlainAnswer, plainAnswers, sendEarly, sendPlain } from './plain-answers.ts';
import type { GatewaySecrets } from './secrets.ts';
import { type OpenDoor, WebhookSecrets } from './webhook-secrets.ts';
import { createDeliveryStore, type DeliveryStore } from './webhook-store.ts';

export interface WebhookDeps {
  pool: Pool;
  rules: Readonly<Record<ProviderName, WebhookRules>>;
  secrets: GatewaySecrets;
  clock: () => Date;
  logger: Logger;
  limits?: Partial<WebhookLimits>;
}

export interface WebhookLimits {
  /** Body bytes that the process holds at once. */
  maxBytesInFlight: number;
  smallBytes: number;
  secretsTtlMs: number;
}

const defaultLimits: WebhookLimits = {
  maxBytesInFlight: 256 * 1024 * 1024,
  smallBytes: 256 * 1024,
  secretsTtlMs: 2_000,
};

export interface WebhookDoorway {
  /** Answers requests below `/webhooks/`; false for all others, which it does not touch. */
  handle(request: IncomingMessage, response: ServerResponse): boolean;
  /** Lets a changed publication be seen at once by this process, instead of within two seconds. */
  forget(publicationId: string): void;
  /** Whether this process answered the provider's question for who it is, for a publication that exists. */
  wasChallenged(publicationId: string): boolean;
  readonly bytesInFlight: number;
}

/** Of how many publications it is remembered that they were asked who they are. */
const maxChallenged = 1_000;

const route = /^\/webhooks\/(slack|github|linear)\/([^/?]{1,200})(?:\?|$)/;

/**
 * The webhook door, on bare node:http: this is the path that every message takes. Bytes in, verified as they came;
 * stored together with their job, committed, then answered 200.
 *
 * 400 verified but not parseable · 401 not verified, whatever the reason, with one body and the same work · 405 not POST
 * · 413 above the provider's limit · 415 compressed · 503 with Retry-After where the provider shall come again.
 */
export function createWebhookDoorway(deps: WebhookDeps): WebhookDoorway {
  const limits = { ...defaultLimits, ...deps.limits };
  const budget = new BodyBudget({ maxBytes: limits.maxBytesInFlight, smallBytes: limits.smallBytes });
  const doors = new WebhookSecrets(deps.pool, deps.secrets, deps.clock, {
    ttlMs: limits.secretsTtlMs,
    maxEntries: 10_000,
    timeoutMs: 1_000,
  });
  const stores: Readonly<Record<ProviderName, DeliveryStore>> = {
    slack: createDeliveryStore(deps.pool, deps.clock, 'slack'),
    github: createDeliveryStore(deps.pool, deps.clock, 'github'),
    linear: createDeliveryStore(deps.pool, deps.clock, 'linear'),
  };
  /** What an unknown publication's request is verified with, so that it costs what a known one costs. */
  const nobodysSecret = [randomBytes(32).toString('hex')];

  const challenged = new Set<string>();
  const challengeAnswer = (
    rules: WebhookRules,
    request: WebhookRequest,
    publicationId: string,
  ): PlainAnswer | undefined => {
    const answer = rules.immediateAnswer?.(request);
    if (!answer) return undefined;
    challenged.add(publicationId);
    const [oldest] = challenged;
    if (challenged.size > maxChallenged && oldest !== undefined) challenged.delete(oldest);
    return { status: 200, contentType: answer.contentType, body: answer.body };
  };

  const settle = async (
    provider: ProviderName,
    request: WebhookRequest,
    finding: Promise<OpenDoor | undefined>,
    publicationId: string,
  ): Promise<PlainAnswer> => {
    const rules = deps.rules[provider];
    const found = await finding;
    const door = found?.provider === provider ? found : undefined;
    const pending = door?.secrets.length === 0;
    const verdict = rules.verify(request, door && !pending ? door.secrets : nobodysSecret, deps.clock());
    if (!door) return plainAnswers.unverified;
    if (pending) return challengeAnswer(rules, request, publicationId) ?? plainAnswers.unverified;
    if (!verdict.ok) {
      deps.logger.info({ publicationId, reason: verdict.reason }, 'webhook request refused');
      return verdict.reason === 'malformed' ? plainAnswers.malformed : plainAnswers.unverified;
    }
    const immediate = challengeAnswer(rules, request, publicationId);
    if (immediate) return immediate;
    const result = await stores[provider].add({
      organizationId: door.organizationId,
      publicationId,
      provider,
      headers: keep(request.headers, rules.keptHeaders),
      body: request.body,
      deliveryId: rules.deliveryId(request),
    });
    if (result === 'gone') return plainAnswers.unverified;
    return result === 'unstorable' ? plainAnswers.malformed : plainAnswers.stored;
  };

  const receive = (
    request: IncomingMessage,
    response: ServerResponse,
    provider: ProviderName,
    publicationId: string,
  ): void => {
    // Asked for while the body still arrives. Its failure is answered after the body.
    const finding = doors.find(publicationId);
    finding.catch(() => {});
    readBody(request, deps.rules[provider].maxBodyBytes, budget, (read: BodyResult) => {
      if (!read.ok) {
        if (read.reason === 'gone') return;
        sendEarly(request, response, read.reason === 'too_large' ? plainAnswers.tooLarge : plainAnswers.busy);
        return;
      }
      // Node joins repeated headers to one string; only set-cookie, which nobody reads here, stays a list.
      const headers = request.headers as Record<string, string>;
      settle(provider, { headers, body: read.body }, finding, publicationId)
        .catch((error: unknown) => {
          deps.logger.warn(
            { publicationId, err: error },
            'webhook delivery not stored; the provider is asked to retry',
          );
          return plainAnswers.unavailable;
        })
        .then((answer) => {
          budget.give(read.body.length);
          sendPlain(response, answer);
        });
    });
  };

  return {
    handle(request, response) {
      const url = request.url ?? '';
      if (!url.startsWith('/webhooks/')) return false;
      const [, provider, publicationId] = route.exec(url) ?? [];
      if (!provider || !publicationId) sendEarly(request, response, plainAnswers.noSuchDoor);
      else if (request.method !== 'POST') sendEarly(request, response, plainAnswers.onlyPost);
      else if ((request.headers['content-encoding'] ?? 'identity') !== 'identity') {
        sendEarly(request, response, plainAnswers.compressed);
      } else receive(request, response, provider as ProviderName, publicationId);
      return true;
    },
    forget: (publicationId) => doors.forget(publicationId),
    wasChallenged: (publicationId) => challenged.has(publicationId),
    get bytesInFlight() {
      return budget.heldBytes;
    },
  };
}

function keep(
  headers: Readonly<Record<string, string>>,
  names: readonly string[],
): Readonly<Record<string, string>> {
  const kept: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}
