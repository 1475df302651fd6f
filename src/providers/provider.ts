import type { z } from 'zod';
import type { Capability } from '../capabilities/capability.ts';
import type {
  Audience,
  CredentialKind,
  Decision,
  InstallationIdentity,
  MessageAuthor,
  ProviderName,
} from '../store/schema.ts';
import type { OutboundRequest, RequestNeed } from '../vault/egress/provider-door.ts';
import type { PublishFlow } from './publish-flow.ts';

export type { BroughtText, OutboundRequest, RequestNeed } from '../vault/egress/provider-door.ts';

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
  | 'wrong_place'
  | 'too_many_hops'
  | 'limit_reached'
  | 'unknown_approval'
  | 'decision_refused'
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
      /** How many agents' posts led to this one, where another agent's post says so. */
      hops?: number;
      /** By what `ref` of an action of ours this message would be known as ours. */
      written?: Record<string, string>;
      /** Text by somebody else in `body`, which the author took up: an issue that they labelled. */
      takenUp?: Quoted;
    }
  | {
      /** Somebody's word on a request for approval. */
      kind: 'decision';
      approvalId: string;
      decision: Decision;
      anchor: AnchorAddress;
      author: MessageAuthor;
      place: Record<string, string>;
      authorHint?: Record<string, string>;
    }
  | { kind: 'stop'; anchor: AnchorAddress; author: MessageAuthor }
  | {
      kind: 'lifecycle';
      change: 'uninstalled' | 'suspended' | 'unsuspended' | 'installed';
      /** ISO 8601. When it happened, where the provider says so and nothing else tells an old change from a new one. */
      at?: string;
    }
  | { kind: 'ignored'; reason: IgnoreReason; detail?: string };

export interface Quoted {
  /** Undefined where the delivery does not say it; `writerOf` asks the provider then. */
  author?: MessageAuthor;
  authorHint?: Record<string, string>;
  /** That text alone. */
  body: string;
  externalKey: string;
  /** What the author of the signal said by taking it up, for where the text must not pass as their words. */
  instead: string;
}

/** Somebody who wrote something, with what the provider calls them beside their id. */
export interface Writer {
  author: MessageAuthor;
  authorHint?: Record<string, string>;
}

/** Whose standing is asked for, and where. */
export interface Asked extends Writer {
  anchor: AnchorAddress;
}

/** A place as the provider's API addresses it. */
export type Place = Readonly<Record<string, string>>;

/** What the provider says of somebody: whether they have authority there, and what they are where they have none. */
export type Judgement =
  | { allowed: true }
  | { allowed: false; kind: 'guest' | 'external' | 'bot' | 'unknown'; detail: string };

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
  /** How many agents' posts led to what is written, this one included; carried in it where the provider has room. */
  hops?: number;
  /** The provider's id of whose words this acts upon, for what needs that person's own access. */
  askerId?: string;
}

/** What a call at the provider came to: `text` is for the agent, `ref` is what the provider named it. */
export interface ToolResult {
  text: string;
  ref?: Record<string, string>;
  /**
   * Of a read: who wrote what `text` holds, the agent itself left out; none where it holds nobody's words. A read that
   * does not say it counts as text by people without authority.
   */
  writers?: readonly Writer[];
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
  /** False for what only the platform uses: `reply`, `failure`, `ask_approval`, `close_approval`. */
  listed: boolean;
  /** Whether a call acts in the session's own anchor. Left out: it always does. */
  isInAnchor?(input: Readonly<Record<string, unknown>>, place: Place): boolean;
  /**
   * Where a call acts, when that is another channel, repository or team than the anchor's: it then needs the asker's own
   * access there, a read `read.elsewhere` too. Undefined within; left out: never elsewhere.
   */
  elsewhere?(input: Readonly<Record<string, unknown>>, place: Place): Place | undefined;
  /** What a call posts in the anchor itself, where the reply goes too. Undefined elsewhere; left out: it posts nothing there. */
  postedText?(input: Readonly<Record<string, unknown>>, place: Place): string | undefined;
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

/** One provider, whole. Its vendor's SDK stops here. */
export interface ProviderAdapter {
  name: ProviderName;
  /** The host names that are the provider's API inside a sandbox and for our own calls. */
  apiHosts: readonly string[];
  webhook: WebhookRules;
  /** Pure. More than one signal only where one delivery tells of several things. Never throws: `malformed` instead. */
  signals(delivery: Delivery, identity: InstallationIdentity): Signal[];
  /**
   * Has this person authority here? Asks the provider where the delivery's own words do not decide; the answer is
   * remembered for minutes, unless it is wanted `fresh`.
   */
  mayAddress(context: ProviderContext, who: Asked, options?: { fresh?: boolean }): Promise<Judgement>;
  /** The names by which a policy can point at a place: a channel, a repository and its owner, a team. Pure. */
  placeNames(place: Readonly<Record<string, string>>): string[];
  /** How many can see what is said in a place. Asks the provider; remembered for a minute. */
  audience(context: ProviderContext, place: Place): Promise<Audience>;
  /** Whether this person can see that place by themselves, asked of the provider anew. */
  canSee(context: ProviderContext, who: Writer, place: Place): Promise<boolean>;
  /** Whether this person is in a team that a policy names. Absent where the provider has no teams of its own. */
  isInTeam?(
    context: ProviderContext,
    who: Writer,
    team: string,
    options?: { fresh?: boolean },
  ): Promise<boolean>;
  /** Who wrote a text that a signal took up without saying whose it is; undefined where nobody can tell. */
  writerOf?(context: ProviderContext, anchor: AnchorAddress): Promise<Writer | undefined>;
  /** Who can have written the changes of a pull request; undefined where nobody can tell. */
  writersOfPull?(context: ProviderContext, place: Place, pull: string): Promise<Writer[] | undefined>;
  /** Tells one person something that nobody else sees. Absent where the provider has no such way. */
  whisper?(
    context: ProviderContext,
    place: Readonly<Record<string, string>>,
    personId: string,
    text: string,
  ): Promise<void>;
  /** Checks and splits what an admin gave. Throws a ZodError that names the wrong field. */
  splitCredentials(credentials: unknown): SplitCredentials;
  /** Asks the provider who these credentials are, and what they were given, where it says so. */
  whoAmI(
    context: Omit<ProviderContext, 'identity'>,
    detail: Readonly<Record<string, string>>,
  ): Promise<InstallationIdentity & { scopes?: string[] }>;
  /** How its app is made and installed there. */
  publishFlow: PublishFlow;
  /** Shows that the agent works, is done, or failed; quick, repeatable, and without an entry of its own in the talk. */
  presence(context: ProviderContext, target: ToolTarget, phase: PresencePhase, text?: string): Promise<void>;
  /**
   * Includes the unlisted `reply` ({ text }), `failure` ({ text }), `ask_approval` and
   * `close_approval` (their input is in `approval-input.ts`), which puts the outcome in the place of the question.
   */
  tools: readonly ProviderTool[];
  /** Pure. Undefined where this provider's API is not open to sandboxes. */
  requestNeed?(request: OutboundRequest): RequestNeed;
}
