import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';

const wholeNumber = (least: number, most: number) =>
  z.string().refine((value) => /^\d+$/.test(value) && Number(value) >= least && Number(value) <= most, {
    error: `takes a whole number from ${least} to ${most}`,
  });

const httpUrl = z.string().refine(
  (value) => {
    if (!URL.canParse(value)) return false;
    const url = new URL(value);
    return /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash;
  },
  { error: 'takes an http or https URL without user, password, query or fragment' },
);

const file = z.string().refine((value) => statSync(value, { throwIfNoEntry: false })?.isFile() === true, {
  error: 'takes a file that is there',
});

/** Every variable that is looked at, and the form that its value must have. */
export const variables = z.object({
  PORT: wholeNumber(0, 65_535).optional(),
  HOST: z
    .string()
    .regex(/^[A-Za-z0-9.:_-]+$/, { error: 'takes an address or a host name' })
    .optional(),
  TAGALONG_BASE_URL: httpUrl.optional(),
  TAGALONG_HOME: z.string().optional(),
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\/.+/, { error: 'takes a URL that starts with postgres://' })
    .optional(),
  TAGALONG_ROOT_KEY: z
    .string()
    .refine((value) => decodeRootKey(value) !== undefined, { error: 'takes 32 bytes in base64url or hex' })
    .optional(),
  TAGALONG_ROOT_KEY_PREVIOUS: z
    .string()
    .refine((value) => decodeRootKey(value) !== undefined, { error: 'takes 32 bytes in base64url or hex' })
    .optional(),
  TAGALONG_API_KEY: z.string().min(20, { error: 'takes at least 20 characters' }).optional(),
  TAGALONG_ROLES: z
    .string()
    .refine((value) => splitRoles(value).every((role) => role === 'gateway' || role === 'worker'), {
      error: 'takes gateway, worker, or both with a comma between them',
    })
    .optional(),
  TAGALONG_MAX_TURNS: wholeNumber(1, 1_000).optional(),
  TAGALONG_WORKSPACE_MIB: z
    .union([z.literal('0'), wholeNumber(64, 1024 * 1024)], {
      error: 'takes a whole number of MiB from 64 to 1048576, or 0 for no limit',
    })
    .optional(),
  TAGALONG_SESSION_PROCESSORS: z
    .string()
    .refine(
      (value) => /^\d{1,4}(\.\d{1,2})?$/.test(value) && (Number(value) === 0 || Number(value) >= 0.05),
      {
        error: 'takes a number of processors from 0.05 to 9999, as 1.5, or 0 for no limit',
      },
    )
    .optional(),
  TAGALONG_SANDBOX: z
    .enum(['bubblewrap', 'none'], { error: 'takes bubblewrap, or none to run agents without any isolation' })
    .optional(),
  TAGALONG_PROGRAMS: z
    .string()
    .refine((value) => statSync(value, { throwIfNoEntry: false })?.isDirectory() === true, {
      error: 'takes a folder that is there',
    })
    .optional(),
  TAGALONG_EGRESS_LISTEN: z
    .string()
    .regex(/^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):\d{1,5}$/, {
      error: 'takes an address or host name and a port, as 0.0.0.0:8443',
    })
    .optional(),
  TAGALONG_EGRESS_URL: httpUrl.optional(),
  TAGALONG_EGRESS_CERTIFICATE: file.optional(),
  TAGALONG_EGRESS_KEY: file.optional(),
  TAGALONG_EGRESS_MAX_CONNECTIONS: wholeNumber(1, 100_000).optional(),
  TAGALONG_EGRESS_MAX_CONNECTIONS_PER_SECOND: wholeNumber(1, 100_000).optional(),
  TAGALONG_EGRESS_MAX_REQUESTS: wholeNumber(1, 100_000).optional(),
  TAGALONG_EGRESS_MAX_REQUESTS_PER_SECOND: wholeNumber(1, 100_000).optional(),
  TAGALONG_EGRESS_MAX_MIB_UP_PER_HOUR: wholeNumber(1, 1_000_000_000).optional(),
  TAGALONG_EGRESS_MAX_MIB_DOWN_PER_HOUR: wholeNumber(1, 1_000_000_000).optional(),
  TAGALONG_EGRESS_FIRST_BYTE_TIMEOUT_SECONDS: wholeNumber(1, 86_400).optional(),
  TAGALONG_EGRESS_IDLE_TIMEOUT_SECONDS: wholeNumber(1, 86_400).optional(),
  TAGALONG_LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
      error: 'takes fatal, error, warn, info, debug, trace or silent',
    })
    .optional(),
  TAGALONG_ALLOWED_HOSTS: z.string().optional(),
  TAGALONG_UPSTREAMS: z
    .string()
    .refine(
      (value) => splitUpstreams(value).every(({ host, target }) => host && httpUrl.safeParse(target).success),
      {
        error: 'takes name=URL, as packages.example.com=http://10.0.0.5:8081/, with commas between them',
      },
    )
    .optional(),
  TAGALONG_CA_FILES: z
    .string()
    .refine((value) => splitList(value).every((file) => readAuthorities(file) !== undefined), {
      error: 'takes files with PEM certificates of authorities, with commas between them',
    })
    .optional(),
  SLACK_API_URL: httpUrl.optional(),
  GITHUB_API_URL: httpUrl.optional(),
  LINEAR_API_URL: httpUrl.optional(),
  ANTHROPIC_API_KEY: z.string().optional(),
  ANTHROPIC_BASE_URL: httpUrl.optional(),
  OPENAI_API_KEY: z.string().optional(),
  OPENAI_BASE_URL: httpUrl.optional(),
  GEMINI_API_KEY: z.string().optional(),
  GEMINI_BASE_URL: httpUrl.optional(),
});

/** 32 bytes from base64url, base64 or hex; undefined when it is not that. */
export function decodeRootKey(value: string): Uint8Array | undefined {
  const text = value.trim();
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  if (!/^[A-Za-z0-9_+/-]+=*$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.length === 32 ? bytes : undefined;
}

/** What stands between commas. */
export function splitList(value: string): string[] {
  return value
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

/** `name=URL`, with commas between them. */
export function splitUpstreams(value: string): { host: string; target: string }[] {
  return splitList(value).map((entry) => {
    const [host = '', target = ''] = entry.split(/=(.*)/s);
    return { host: host.trim().toLowerCase(), target: target.trim() };
  });
}

/** The certificates of a file, each as PEM; undefined when it holds none, or one that is no authority's. */
export function readAuthorities(file: string): string[] | undefined {
  try {
    const found = readFileSync(file, 'utf8').match(
      /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g,
    );
    return found?.every((pem) => new X509Certificate(pem).ca) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Names of roles, with commas between them. */
export function splitRoles(value: string): string[] {
  return value.split(',').map((role) => role.trim());
}
