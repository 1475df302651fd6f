import type { z } from 'zod';
import type { Capability } from '../capabilities/capability.ts';
import type { CredentialKind, InstallationIdentity, MessageAuthor, ProviderName } from '../store/schema.ts';

/** A webhook request as it came: header names in lower case, the body's exact bytes. */
export interface WebhookRequest {
  headers: Readonly<Record<string, string>>;
  body: Buffer;
}

export type Verdict =
  | { ok: true }
  | { ok: false; reason: 'unsigned' | 'wrong_signature' | 'stale' | 'malformed' };

/** The rules of a provider's webhook door. Pure; used by the gateway. */
export interface WebhookRules {
  maxBodyBytes: number;
  /** Headers that are stored with the delivery, lower case. */
  keptHeaders: readonly string[];
  /** Constant-time check against each secret that is honoured now; the clock is judged on both sides. */
  verify(request: WebhookRequest, secrets: readonly string[], now: Date): Verdict;
  /** The provider's own id of the delivery, by which a retry is known; undefined when it is missing. */
  deliveryId(request: WebhookRequest): string | undefined;
  /** What a verified request gets back at once without being stored (Slack's `url_verification`). */
  immediateAnswer?(request: WebhookRequest): { contentType: string; body: string } | undefined;
}

/** A place of the provider where a session listens and answers. */
export interface AnchorAddress {
  /** Names the place within the publication, and stays the same when the place is renamed. */
  key: string;
  /** The provider's own address of it, as its API wants it. */
  place: Record<string, string>;
  /** A short human name for the session's title. */
  title?: string;
}

/** Why a delivery started nothing. The words are shown to admins beside `ignoreReasons[reason]`. */
export type IgnoreReason =
  | 'own_message'
  | 'other_bot'
  | 'not_addressed'
  | 'no_authority'
  | 'duplicate_message'
  | 'unsupported_event'
  | 'edited_message'
  | 'deleted_message'
  | 'empty_message'
  | 'not_live'
  | 'unknown_installation'
  | 'handled_elsewhere'
  | 'malformed';

/** What a delivery means to us. */
export type Signal =
  | {
      /** `addressed` wakes the agent; `ambient` does so only where its anchor already has a session. */
      kind: 'addressed' | 'ambient';
      anchor: AnchorAddress;
      /** One per message at the provider, whatever number of deliveries told of it. */
      externalKey: string;
      author: MessageAuthor;
      body: string;
      /** The provider's address of this message, for presence. */
      place: Record<string, string>;
      /** What the provider's own words in the delivery say of the author; `mayAddress` asks where it must. */
      authorHint?: Record<string, string>;
    }
  | { kind: 'stop'; anchor: AnchorAddress; author: MessageAuthor }
  | { kind: 'lifecycle'; change: 'uninstalled' | 'suspended' | 'unsuspended' | 'installed' }
  | { kind: 'ignored'; reason: IgnoreReason; detail?: string };

export interface Delivery extends WebhookRequest {
  receivedAt: Date;
}

/** What an adapter's I/O is given. `fetch` goes to the egress process, which puts the installation's token on. */
export interface ProviderContext {
  fetch: typeof fetch;
  identity: InstallationIdentity;
}

/** Where a tool acts: the anchor's place and, where there is one, the message's. */
export interface ToolTarget {
  place: Readonly<Record<string, string>>;
  message?: Readonly<Record<string, string>>;
}

/** What a call at the provider came to: `text` is for the agent, `ref` is what the provider named it. */
export interface ToolResult {
  text: string;
  ref?: Record<string, string>;
}

/**
 * One thing that can be done at the provider. A `read` is performed at once. A `write` goes through the outbox with a
 * mark; when it is not known whether an earlier try arrived, `reconcile` looks for the mark before `perform` runs again.
 */
export interface ProviderTool {
  name: string;
  capability: Capability;
  title: string;
  description: string;
  input: z.ZodObject;
  effect: 'read' | 'write';
  /** False for what only the platform uses: `reply`, `failure`. */
  listed: boolean;
  perform(
    context: ProviderContext,
    input: Record<string, unknown>,
    target: ToolTarget,
    mark: string,
  ): Promise<ToolResult>;
  /** Absent where the provider's call is idempotent by itself. */
  reconcile?(
    context: ProviderContext,
    input: Record<string, unknown>,
    target: ToolTarget,
    mark: string,
  ): Promise<ToolResult | undefined>;
}

/** The provider refused, for now or for good. */
export class ProviderError extends Error {
  override name = 'ProviderError';
  readonly code: 'rate_limited' | 'unavailable' | 'unauthorized' | 'refused';
  /** When to try again, for `rate_limited` and `unavailable`. */
  readonly retryAfterMs: number | undefined;
  /** Whether the call may have reached the provider all the same (time-outs, broken connections, 5xx). */
  readonly mayHaveArrived: boolean;
  constructor(
    code: ProviderError['code'],
    message: string,
    options: { retryAfterMs?: number; mayHaveArrived?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
    this.mayHaveArrived = options.mayHaveArrived ?? false;
  }
}

export type PresencePhase = 'working' | 'done' | 'failed';

/** What the REST API's `credentials` come to: what the gateway verifies with and what the egress process puts on. */
export interface SplitCredentials {
  webhookSecret: string;
  credential: {
    kind: CredentialKind;
    /** Sealed; opened by the egress process only. */
    secret: Record<string, string>;
    /** Not secret; stored in the clear beside it. */
    detail: Record<string, string>;
  };
}

/** An HTTP request at the second door, as the egress process parsed it. */
export interface OutboundRequest {
  method: string;
  /** Path as sent, without query. */
  path: string;
  query: URLSearchParams;
}

/** The capability that a request needs, and the place that it touches, to be compared with the session's anchors. */
export type RequestNeed =
  | { ok: true; capability: Capability; repository?: string }
  | { ok: false; reason: string };

/** One provider, whole. Its vendor's SDK stops here. */
export interface ProviderAdapter {
  name: ProviderName;
  /** The host names that are the provider's API inside a sandbox and for our own calls. */
  apiHosts: readonly string[];
  webhook: WebhookRules;
  /** Pure. More than one signal only where one delivery tells of several things. Never throws: `malformed` instead. */
  signals(delivery: Delivery, identity: InstallationIdentity): Signal[];
  /** May this person instruct the agent here? Asks the provider where the delivery's own words do not decide. */
  mayAddress(
    context: ProviderContext,
    signal: Extract<Signal, { kind: 'addressed' | 'ambient' }>,
  ): Promise<{ allowed: true } | { allowed: false; detail: string }>;
  /** Checks and splits what an admin gave. Throws a ZodError that names the wrong field. */
  splitCredentials(credentials: unknown): SplitCredentials;
  /** Asks the provider who these credentials are. */
  whoAmI(
    context: Omit<ProviderContext, 'identity'>,
    detail: Readonly<Record<string, string>>,
  ): Promise<InstallationIdentity>;
  /** Shows that the agent works, is done, or failed; quick, repeatable, and without an entry of its own in the talk. */
  presence(context: ProviderContext, target: ToolTarget, phase: PresencePhase, text?: string): Promise<void>;
  /** Includes the unlisted `reply` ({ text }) and `failure` ({ text }). */
  tools: readonly ProviderTool[];
  /** Pure. Undefined where this provider's API is not open to sandboxes. */
  requestNeed?(request: OutboundRequest): RequestNeed;
}
