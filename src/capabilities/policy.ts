import { z } from 'zod';

const names = (max: number) => z.array(z.string().trim().min(1).max(200)).max(max);
const choice = z.enum(['ignore', 'allow']);

/** Who may address an agent, as an admin sets it for one publication. */
export const authorityPolicy = z.strictObject({
  /** `default`: people with authority. `everyone`: any person. `listed`: only `people` and `teams`. */
  who: z.enum(['default', 'everyone', 'listed']).optional(),
  /** Ids or handles at the provider. They have authority whatever the provider says of them. */
  people: names(1_000).optional(),
  /** `org/team-slug`, where the provider has teams. Their members have authority whatever else it says of them. */
  teams: z
    .array(
      z
        .string()
        .trim()
        .regex(
          /^@?[A-Za-z0-9-]{1,39}\/[A-Za-z0-9_.-]{1,100}$/,
          'a team as org/team-slug, for example acme/maintainers',
        )
        .transform((team) => team.replace(/^@/, '')),
    )
    .max(50)
    .optional(),
  /** The only channels, repositories (`acme/widgets`, `acme/*`) or teams (`ENG`) where it may be addressed. */
  places: names(1_000).optional(),
  guests: choice.optional(),
  external: choice.optional(),
  bots: choice.optional(),
  /** Messages of one bot that are answered in one anchor and hour. */
  bot_messages_per_hour: z.number().int().min(1).max(1_000).optional(),
  /** How many agents' posts may lead to each other. */
  max_hops: z.number().int().min(1).max(20).optional(),
});

/** How approvals are decided. */
export const approvalsPolicy = z.strictObject({
  /** Ids or handles of the people who may decide. Left out: everybody with authority. */
  approvers: names(200).min(1).optional(),
  needed: z.number().int().min(1).max(10).optional(),
  /** Whether who asked may approve it too. */
  self: z.boolean().optional(),
  expires_minutes: z
    .number()
    .int()
    .min(1)
    .max(7 * 24 * 60)
    .optional(),
});

/** How often an agent may be set to work. */
export const limitsPolicy = z.strictObject({
  turns_per_anchor_per_hour: z.number().int().min(1).max(10_000).optional(),
  turns_per_hour: z.number().int().min(1).max(100_000).optional(),
});

export interface AuthorityRules {
  who: 'default' | 'everyone' | 'listed';
  people: readonly string[];
  /** `org/team-slug`. */
  teams: readonly string[];
  /** Null: everywhere. */
  places: readonly string[] | null;
  guests: boolean;
  external: boolean;
  bots: boolean;
  botMessagesPerHour: number;
  maxHops: number;
}

/** A publication's policy with every default filled in. */
export interface PolicyRules {
  authority: AuthorityRules;
  approvals: { approvers: string[] | null; needed: number; self: boolean; expiresMs: number };
  limits: { turnsPerAnchorPerHour: number; turnsPerHour: number };
}

/** Reads a stored policy. A part that cannot be understood is as if it were not set: the defaults are the strict ones. */
export function readPolicy(policy: Readonly<Record<string, unknown>>): PolicyRules {
  const authority = authorityPolicy.safeParse(policy.authority ?? {}).data ?? {};
  const approvals = approvalsPolicy.safeParse(policy.approvals ?? {}).data ?? {};
  const limits = limitsPolicy.safeParse(policy.limits ?? {}).data ?? {};
  const who = authority.who ?? 'default';
  return {
    authority: {
      who,
      people: authority.people ?? [],
      teams: authority.teams ?? [],
      places: authority.places ?? null,
      guests: who === 'everyone' || authority.guests === 'allow',
      external: who === 'everyone' || authority.external === 'allow',
      bots: authority.bots === 'allow',
      botMessagesPerHour: authority.bot_messages_per_hour ?? 10,
      maxHops: authority.max_hops ?? 4,
    },
    approvals: {
      approvers: approvals.approvers ?? null,
      needed: approvals.needed ?? 1,
      self: approvals.self ?? false,
      expiresMs: (approvals.expires_minutes ?? 60) * 60_000,
    },
    limits: {
      turnsPerAnchorPerHour: limits.turns_per_anchor_per_hour ?? 60,
      turnsPerHour: limits.turns_per_hour ?? 600,
    },
  };
}

/**
 * Whether a list names this person: by id, or by the handle that the provider keeps unique. A display name is none:
 * everybody gives themselves one.
 */
export function isNamed(
  list: readonly string[],
  person: { id: string; handle?: string | undefined },
): boolean {
  const handle = person.handle?.toLowerCase();
  return list.some((entry) => entry === person.id || entry.replace(/^@/, '').toLowerCase() === handle);
}
