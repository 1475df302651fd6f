import type { EgressLimits } from '../../config.ts';
import type { ProviderName } from '../../store/schema.ts';

/** A raw listening TCP handle or UDP handle, as it crosses IPC. */
export type ListenerHandle = object;

/**
 * What comes in on a listener: requests to a proxy; plain HTTP and TLS by clients that believe to speak to the host
 * itself; DNS queries.
 */
export type ListenerRole = 'proxy' | 'http' | 'https' | 'dns';

/**
 * A vendor host and the origin that its requests really go to. The operator's word only. With
 * `{ host: 'slack.com', pathPrefix: '/api/', target: 'http://127.0.0.1:4003/api/' }` a request for
 * `https://slack.com/api/auth.test` goes to `http://127.0.0.1:4003/api/auth.test`.
 */
export interface Upstream {
  host: string;
  pathPrefix: string;
  target: string;
  /** `emulated`: for principals of emulated publications; `real`: for the others; `all`: for both. */
  scope: 'emulated' | 'real' | 'all';
}

/** The operator's model keys. They stay in the egress process and are put on for message endpoints only. */
export interface ModelCredentials {
  anthropic?: string;
  openai?: string;
  google?: string;
}

/** Main process → egress process, first message over IPC. Nothing of it is ever in its environment. */
export interface EgressStart {
  type: 'start';
  databaseUrl: string;
  /** 32 bytes, base64url. */
  rootKey: string;
  /** One that is still read with, while what it sealed is sealed anew. */
  previousRootKey?: string;
  upstreams: Upstream[];
  modelCredentials: ModelCredentials;
  /** What no tenant's setting exceeds, as `parseAllowedHost` reads it; left out where there is no such bound. */
  allowedHosts?: readonly string[];
  /** PEM of authorities that upstream certificates are checked against beside Node's own. */
  extraAuthorities?: readonly string[];
  /** Unix socket that the egress process opens for the worker's own vendor calls. */
  platformSocket: string;
  /** Unix socket of the worker, where `tagalong.internal` goes, with the session's id stamped on. */
  internalSocket: string;
  /** Of each session; the defaults of `config.ts` when left out. */
  limits?: EgressLimits;
  /** For sandboxes that are not on this machine; none by default. */
  remote?: RemoteListener;
}

/** Where sandboxes of other machines reach the proxy, and the certificate that it shows them. */
export interface RemoteListener {
  host: string;
  port: number;
  /** As sandboxes reach it, if that is not `https://<host>:<port>`. */
  url?: string;
  /** The certificate, and those between it and its root. */
  certificatePem: string;
  privateKeyPem: string;
}

/** How a sandbox on another machine comes to its session's proxy. */
export interface RemoteProxyAccess {
  /** `https://…`, without user and password. */
  url: string;
  /** For `Proxy-Authorization: Basic`; with `.` between them also as a Bearer. */
  username: string;
  /** Worth something for this session only, until it is closed. */
  token: string;
  /** Signs what the sandbox is shown inside of tunnels. */
  caCertificatePem: string;
  /** The proxy's own certificate, for sandboxes that do not trust its root. */
  proxyCertificatePem: string;
}

/** Headers between worker and egress process on the two private sockets; stripped from anything a sandbox sends. */
export const privateHeaders = {
  /** Platform socket: whose token to put on. */
  organization: 'x-tagalong-organization',
  installation: 'x-tagalong-installation',
  /** Platform socket: the absolute https URL that is meant. */
  target: 'x-tagalong-target',
  /** Internal socket: which session asks. */
  session: 'x-tagalong-session',
  /** Internal socket: the egress process itself asks about that session, see `DoorQuestion`. */
  door: 'x-tagalong-door',
} as const;

/** Somebody who wrote something, in the shape of the provider port. */
export interface DoorWriter {
  author: { id: string; name?: string | undefined; kind: 'person' | 'bot' | 'api' };
  authorHint?: Record<string, string> | undefined;
}

/** Whose text a read brings back; `writers` are those that the answer named, null where it did not name them all. */
export type DoorBrings =
  | { by: 'named'; writers: DoorWriter[] | null; pull?: string | undefined }
  | { by: 'pull'; pull: string }
  | { by: 'forks' }
  | { by: 'anybody' };

/**
 * What the egress process asks the worker about a request with a provider's credential that its own gate has let
 * through. The answer can only take away: people are asked about at the provider, and what was read goes on record.
 */
export type DoorQuestion = {
  provider: ProviderName;
  /** Method and path, for the session's log. */
  request: string;
  place?: Record<string, string> | undefined;
} & ({ kind: 'write' } | { kind: 'read_elsewhere' } | { kind: 'texts'; brings: DoorBrings });

export type DoorAnswer = { ok: true } | { ok: false; reason: string };

/** Who makes a platform call. Before an installation exists, a publication's credential is confirmed with it. */
export interface PlatformPrincipal {
  organizationId: string;
  /** `inst_…`; while the installation is not known yet `pub_…`, or `cred_…` for just that credential. */
  installationId: string;
}

/** Whether the egress process is up and what it says of itself; for `doctor`. */
export interface EgressHealth {
  ok: boolean;
  message: string;
}

/** The worker's side of the egress process: starts it, starts it again when it dies, and hands over listeners again. */
export interface EgressControl {
  /** Makes the session known: reads its policy from the database and makes its CA. */
  openSession(session: { organizationId: string; sessionId: string }): Promise<{
    caCertificatePem: string;
    /** What the sandbox's environment holds in the place of secrets. */
    environment?: Record<string, string>;
  }>;
  /** Hands a sandbox's listener over, the proxy's by default; it is served when this resolves. */
  addListener(sessionId: string, handle: ListenerHandle, role?: ListenerRole): Promise<void>;
  /** Stamps the turn on the records that follow. */
  setTurn(sessionId: string, turnId: string | null): void;
  closeSession(sessionId: string): Promise<void>;
  /** What a sandbox on another machine needs. Rejects when the operator has set up no address for such. */
  remoteProxy(sessionId: string): Promise<RemoteProxyAccess>;
  /** A fetch whose requests carry this installation's token, put on in the egress process. */
  platformFetch(principal: PlatformPrincipal): typeof fetch;
  health(): Promise<EgressHealth>;
  /** Process id of the running egress process, for tests and `doctor`. */
  readonly pid: number | undefined;
  /** Writes the records that are left and ends it. */
  stop(): Promise<void>;
}
