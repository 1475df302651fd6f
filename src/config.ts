import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import type { z } from 'zod';
import {
  decodeRootKey,
  readAuthorities,
  splitList,
  splitRoles,
  splitUpstreams,
  variables,
} from './config-values.ts';

/** The defaults of every setting, each in this one place. */
export const defaults = {
  port: 8787,
  host: '127.0.0.1',
  home: './.tagalong',
  roles: ['gateway', 'worker'],
  turnsPerCore: 4,
  workspaceMib: 4096,
  /** Of the machine's processors, so that what serves the sessions always has some. */
  processorShare: 0.75,
  sandbox: 'bubblewrap',
  slackApiUrl: 'https://slack.com/api/',
  githubApiUrl: 'https://api.github.com',
  linearApiUrl: 'https://api.linear.app/graphql',
  anthropicBaseUrl: 'https://api.anthropic.com',
  openaiBaseUrl: 'https://api.openai.com/v1',
  egress: {
    maxConnections: 512,
    maxConnectionsPerSecond: 100,
    maxRequests: 256,
    maxRequestsPerSecond: 500,
    maxMibUpPerHour: undefined,
    maxMibDownPerHour: undefined,
    firstByteTimeoutSeconds: 120,
    idleTimeoutSeconds: 300,
  },
} as const;

/** What one session may use of the egress process. */
export interface EgressLimits {
  maxConnections: number;
  /** Over time; up to twice as many at once. */
  maxConnectionsPerSecond: number;
  /** Under way at once. */
  maxRequests: number;
  /** Over time; up to twice as many at once. */
  maxRequestsPerSecond: number;
  /** Undefined: as much as there is. */
  maxMibUpPerHour: number | undefined;
  maxMibDownPerHour: number | undefined;
  /** Until an upstream begins to answer. Models and our own tools have longer. */
  firstByteTimeoutSeconds: number;
  /** While nothing moves in either direction. Models and our own tools have longer. */
  idleTimeoutSeconds: number;
}

export type Role = 'gateway' | 'worker';

/** Everything that the environment says, checked. Secrets in it are never logged. */
export interface Config {
  port: number;
  host: string;
  /** Origin by which providers and people reach the gateway, without a trailing slash. */
  baseUrl: string;
  home: string;
  /** Undefined: the embedded Postgres. */
  databaseUrl: string | undefined;
  rootKey: Uint8Array | undefined;
  /** One that is still read with, while it is replaced. */
  previousRootKey: Uint8Array | undefined;
  apiKey: string | undefined;
  roles: readonly Role[];
  maxTurns: number;
  sandbox: 'bubblewrap' | 'none';
  /** What the workspace and home of one session may hold together; undefined for no limit. */
  workspaceBytes: number | undefined;
  /** How many processors' time one session may use; undefined: no limit. */
  sessionProcessors: number | undefined;
  /** A folder with agent programs of the operator's own, for agents of the program `custom`. */
  customPrograms: string | undefined;
  egress: EgressLimits;
  /** What no tenant's setting exceeds; undefined: no such bound. */
  allowedHosts: readonly string[] | undefined;
  /** Names inside, and the origins that they lead to. */
  upstreams: readonly { host: string; target: string }[];
  /** PEM of authorities that upstream certificates are checked against beside Node's own. */
  extraAuthorities: readonly string[];
  /** The operator's own origins of the vendors' APIs; undefined is the vendor's own. */
  vendors: { slack: string | undefined; github: string | undefined; linear: string | undefined };
  models: {
    anthropic: { apiKey: string | undefined; baseUrl: string | undefined };
    openai: { apiKey: string | undefined; baseUrl: string | undefined };
    google: { apiKey: string | undefined; baseUrl: string | undefined };
  };
  /** Where sandboxes of other machines reach the egress proxy; undefined: nowhere. */
  remoteProxy:
    | {
        host: string;
        port: number;
        url: string | undefined;
        certificateFile: string;
        keyFile: string;
      }
    | undefined;
  /** Undefined: `warn` at a terminal, else `info`. */
  logLevel: string | undefined;
}

/** The environment is wrong. Each problem names the variable, what is wrong with its value, and what it takes. */
export class ConfigError extends Error {
  override name = 'ConfigError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`The configuration is wrong:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/** The exit code of a process whose configuration is wrong. */
export const configExitCode = 3;

/**
 * Checks the environment whole and answers the configuration. Empty variables count as not set.
 * @throws ConfigError with one problem per wrong variable; values that may be secret are not repeated in it.
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const present = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = variables.safeParse(present);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map((issue) => describe(String(issue.path[0]), issue.message, present));
  if (present.DATABASE_URL && !present.TAGALONG_ROOT_KEY) {
    problems.push(
      'TAGALONG_ROOT_KEY is required with DATABASE_URL: set 32 random bytes, as made by `openssl rand -hex 32`, and keep them safe.',
    );
  }
  if (
    present.TAGALONG_EGRESS_LISTEN &&
    !(present.TAGALONG_EGRESS_CERTIFICATE && present.TAGALONG_EGRESS_KEY)
  ) {
    problems.push(
      'TAGALONG_EGRESS_LISTEN needs TAGALONG_EGRESS_CERTIFICATE and TAGALONG_EGRESS_KEY: files with a certificate, and its key, that sandboxes are to trust.',
    );
  }
  if (present.TAGALONG_ROOT_KEY_PREVIOUS && !present.TAGALONG_ROOT_KEY) {
    problems.push(
      'TAGALONG_ROOT_KEY_PREVIOUS needs TAGALONG_ROOT_KEY, the key that takes its place. A key that is kept in the home is replaced with: tagalong rotate-key',
    );
  }
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems);
  const env = parsed.data;
  const port = Number(env.PORT ?? defaults.port);
  const host = env.HOST ?? defaults.host;
  return {
    port,
    host,
    baseUrl: (env.TAGALONG_BASE_URL ?? localOrigin(host, port)).replace(/\/+$/, ''),
    home: resolve(env.TAGALONG_HOME ?? defaults.home),
    databaseUrl: env.DATABASE_URL,
    rootKey: decodeRootKey(env.TAGALONG_ROOT_KEY ?? ''),
    previousRootKey: decodeRootKey(env.TAGALONG_ROOT_KEY_PREVIOUS ?? ''),
    apiKey: env.TAGALONG_API_KEY,
    roles: env.TAGALONG_ROLES === undefined ? defaults.roles : (splitRoles(env.TAGALONG_ROLES) as Role[]),
    maxTurns: Number(env.TAGALONG_MAX_TURNS ?? defaults.turnsPerCore * availableParallelism()),
    workspaceBytes: Number(env.TAGALONG_WORKSPACE_MIB ?? defaults.workspaceMib) * 1024 * 1024 || undefined,
    sessionProcessors:
      Number(env.TAGALONG_SESSION_PROCESSORS ?? defaults.processorShare * availableParallelism()) ||
      undefined,
    sandbox: env.TAGALONG_SANDBOX ?? defaults.sandbox,
    customPrograms: env.TAGALONG_PROGRAMS === undefined ? undefined : resolve(env.TAGALONG_PROGRAMS),
    egress: egressLimits(env),
    allowedHosts:
      env.TAGALONG_ALLOWED_HOSTS === undefined ? undefined : splitList(env.TAGALONG_ALLOWED_HOSTS),
    upstreams: splitUpstreams(env.TAGALONG_UPSTREAMS ?? ''),
    extraAuthorities: splitList(env.TAGALONG_CA_FILES ?? '').flatMap((file) => readAuthorities(file) ?? []),
    vendors: { slack: env.SLACK_API_URL, github: env.GITHUB_API_URL, linear: env.LINEAR_API_URL },
    models: {
      anthropic: { apiKey: env.ANTHROPIC_API_KEY, baseUrl: env.ANTHROPIC_BASE_URL },
      openai: { apiKey: env.OPENAI_API_KEY, baseUrl: env.OPENAI_BASE_URL },
      google: { apiKey: env.GEMINI_API_KEY, baseUrl: env.GEMINI_BASE_URL },
    },
    remoteProxy: remoteProxyOf(env),
    logLevel: env.TAGALONG_LOG_LEVEL,
  };
}

function remoteProxyOf(env: z.output<typeof variables>): Config['remoteProxy'] {
  const match = /^(.*):(\d+)$/.exec(env.TAGALONG_EGRESS_LISTEN ?? '');
  const { TAGALONG_EGRESS_CERTIFICATE: certificateFile, TAGALONG_EGRESS_KEY: keyFile } = env;
  if (!match?.[1] || !certificateFile || !keyFile) return undefined;
  const host = match[1].replace(/^\[|\]$/g, '');
  return { host, port: Number(match[2]), url: env.TAGALONG_EGRESS_URL, certificateFile, keyFile };
}

function egressLimits(env: z.infer<typeof variables>): EgressLimits {
  const set: Record<keyof EgressLimits, string | undefined> = {
    maxConnections: env.TAGALONG_EGRESS_MAX_CONNECTIONS,
    maxConnectionsPerSecond: env.TAGALONG_EGRESS_MAX_CONNECTIONS_PER_SECOND,
    maxRequests: env.TAGALONG_EGRESS_MAX_REQUESTS,
    maxRequestsPerSecond: env.TAGALONG_EGRESS_MAX_REQUESTS_PER_SECOND,
    maxMibUpPerHour: env.TAGALONG_EGRESS_MAX_MIB_UP_PER_HOUR,
    maxMibDownPerHour: env.TAGALONG_EGRESS_MAX_MIB_DOWN_PER_HOUR,
    firstByteTimeoutSeconds: env.TAGALONG_EGRESS_FIRST_BYTE_TIMEOUT_SECONDS,
    idleTimeoutSeconds: env.TAGALONG_EGRESS_IDLE_TIMEOUT_SECONDS,
  };
  const given = Object.entries(set).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, Number(value)]],
  );
  return { ...defaults.egress, ...Object.fromEntries(given) };
}

/** The origin under which a server on this host and port is reached from this machine. */
export function localOrigin(host: string, port: number): string {
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

const secretVariables = /KEY|DATABASE_URL/;

function describe(
  variable: string,
  problem: string,
  present: Readonly<Record<string, string | undefined>>,
): string {
  const value = secretVariables.test(variable) ? 'its value' : `"${present[variable] ?? ''}"`;
  return `${variable} is wrong: ${value} does not fit. It ${problem}.`;
}
