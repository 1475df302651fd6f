/** A publication's policy as the API has it; what is left out has its default. */
export interface Policy {
  allowed_hosts?: string[];
  passthrough_hosts?: string[];
  environment_id?: string;
  vault_ids?: string[];
  authority?: {
    who?: 'default' | 'everyone' | 'listed';
    people?: string[];
    teams?: string[];
    places?: string[];
    guests?: Choice;
    external?: Choice;
    bots?: Choice;
    bot_messages_per_hour?: number;
    max_hops?: number;
  };
  approvals?: { approvers?: string[]; needed?: number; self?: boolean; expires_minutes?: number };
  limits?: { turns_per_anchor_per_hour?: number; turns_per_hour?: number };
}
type Choice = 'ignore' | 'allow';

/** The same as somebody types it: lists have an entry per line, an empty number is the default. */
export interface PolicyForm {
  who: 'default' | 'everyone' | 'listed';
  people: string;
  teams: string;
  places: string;
  guests: boolean;
  external: boolean;
  bots: boolean;
  botMessagesPerHour: string;
  maxHops: string;
  approvers: string;
  needed: string;
  self: boolean;
  expiresMinutes: string;
  turnsPerAnchorPerHour: string;
  turnsPerHour: string;
  allowedHosts: string;
  passthroughHosts: string;
  /** Empty for none. */
  environmentId: string;
  vaultIds: string[];
}

/** What is wrong, by field; none when it can be saved. */
export type PolicyProblems = Partial<Record<keyof PolicyForm, string>>;

/** The API's names of the fields, and with them where its words about one belong. */
const paths: Record<keyof PolicyForm, string> = {
  who: 'policy.authority.who',
  people: 'policy.authority.people',
  teams: 'policy.authority.teams',
  places: 'policy.authority.places',
  guests: 'policy.authority.guests',
  external: 'policy.authority.external',
  bots: 'policy.authority.bots',
  botMessagesPerHour: 'policy.authority.bot_messages_per_hour',
  maxHops: 'policy.authority.max_hops',
  approvers: 'policy.approvals.approvers',
  needed: 'policy.approvals.needed',
  self: 'policy.approvals.self',
  expiresMinutes: 'policy.approvals.expires_minutes',
  turnsPerAnchorPerHour: 'policy.limits.turns_per_anchor_per_hour',
  turnsPerHour: 'policy.limits.turns_per_hour',
  allowedHosts: 'policy.allowed_hosts',
  passthroughHosts: 'policy.passthrough_hosts',
  environmentId: 'policy.environment_id',
  vaultIds: 'policy.vault_ids',
};

const text = (value: number | undefined) => (value === undefined ? '' : String(value));

/** A stored policy as it is shown for editing. Pure. */
export function formOf(policy: Policy): PolicyForm {
  const { authority = {}, approvals = {}, limits = {} } = policy;
  return {
    who: authority.who ?? 'default',
    people: (authority.people ?? []).join('\n'),
    teams: (authority.teams ?? []).join('\n'),
    places: (authority.places ?? []).join('\n'),
    guests: authority.guests === 'allow',
    external: authority.external === 'allow',
    bots: authority.bots === 'allow',
    botMessagesPerHour: text(authority.bot_messages_per_hour),
    maxHops: text(authority.max_hops),
    approvers: (approvals.approvers ?? []).join('\n'),
    needed: text(approvals.needed),
    self: approvals.self ?? false,
    expiresMinutes: text(approvals.expires_minutes),
    turnsPerAnchorPerHour: text(limits.turns_per_anchor_per_hour),
    turnsPerHour: text(limits.turns_per_hour),
    allowedHosts: (policy.allowed_hosts ?? []).join('\n'),
    passthroughHosts: (policy.passthrough_hosts ?? []).join('\n'),
    environmentId: policy.environment_id ?? '',
    vaultIds: policy.vault_ids ?? [],
  };
}

/** The entries of a list that was typed: one per line, or with commas between; each once. Pure. */
export function entriesOf(typed: string): string[] {
  return [...new Set(typed.split(/[\n,]+/).map((entry) => entry.trim()))].filter((entry) => entry !== '');
}

const bounds: Partial<Record<keyof PolicyForm, readonly [number, number]>> = {
  botMessagesPerHour: [1, 1_000],
  maxHops: [1, 20],
  needed: [1, 10],
  expiresMinutes: [1, 10_080],
  turnsPerAnchorPerHour: [1, 10_000],
  turnsPerHour: [1, 100_000],
};
const hostName = /^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/;
/** A host with what may follow it, taken apart; the server says more of a path that it does not take. */
const hostEntry = /^([^:/]*)(:\d{1,5})?(\/[^?#*\s\\]*)?$/;

/** A host that was typed, in lower case; its path is left as it is. Pure. */
function canonicalEntry(entry: string): string {
  const slash = entry.indexOf('/');
  return slash < 0 ? entry.toLowerCase() : entry.slice(0, slash).toLowerCase() + entry.slice(slash);
}

/** What somebody typed as the policy that is saved, or what is wrong with it, field by field. Pure. */
export function policyOf(form: PolicyForm): { policy: Policy; problems: PolicyProblems } {
  const problems: PolicyProblems = {};
  const number = (name: 'botMessagesPerHour' | 'maxHops' | 'needed' | 'expiresMinutes' | LimitName) => {
    const typed = form[name].trim();
    if (typed === '') return undefined;
    const [least = 1, most = 1] = bounds[name] ?? [];
    const value = Number(typed);
    if (!/^\d+$/.test(typed) || value < least || value > most) {
      problems[name] = `A whole number from ${least} to ${most}, or nothing for the default.`;
    }
    return value;
  };
  const people = entriesOf(form.people);
  const places = entriesOf(form.places);
  const approvers = entriesOf(form.approvers);
  const teams = entriesOf(form.teams);
  const hosts = [...new Set(entriesOf(form.allowedHosts).map(canonicalEntry))];
  const passed = entriesOf(form.passthroughHosts.toLowerCase());
  if (form.who === 'listed' && people.length === 0 && teams.length === 0) {
    problems.people = 'Nobody is on the list, so that nobody could address it.';
  }
  const wrongHost = hosts.find((host) => !hostName.test(hostEntry.exec(host)?.[1] ?? ''));
  if (wrongHost !== undefined) {
    problems.allowedHosts = `${wrongHost} is no host name, as example.com, *.example.com, example.com:8443 or example.com/v1: leave out the scheme.`;
  }
  const wrongPassed = passed.find((host) => !hostName.test(host));
  if (wrongPassed !== undefined) {
    problems.passthroughHosts = `${wrongPassed} is no host name, as example.com or *.example.com: leave out scheme, port and path.`;
  }
  const needed = number('needed');
  if (needed !== undefined && approvers.length > 0 && needed > approvers.length) {
    problems.needed = `${needed} must approve, and ${approvers.length} ${approvers.length === 1 ? 'is' : 'are'} on the list.`;
  }
  const policy: Policy = {
    authority: {
      who: form.who,
      ...(people.length > 0 ? { people } : {}),
      ...(teams.length > 0 ? { teams } : {}),
      ...(places.length > 0 ? { places } : {}),
      guests: form.guests ? 'allow' : 'ignore',
      external: form.external ? 'allow' : 'ignore',
      bots: form.bots ? 'allow' : 'ignore',
      ...given('bot_messages_per_hour', number('botMessagesPerHour')),
      ...given('max_hops', number('maxHops')),
    },
    approvals: {
      ...(approvers.length > 0 ? { approvers } : {}),
      ...given('needed', needed),
      self: form.self,
      ...given('expires_minutes', number('expiresMinutes')),
    },
    limits: {
      ...given('turns_per_anchor_per_hour', number('turnsPerAnchorPerHour')),
      ...given('turns_per_hour', number('turnsPerHour')),
    },
    ...(hosts.length > 0 ? { allowed_hosts: hosts } : {}),
    ...(passed.length > 0 ? { passthrough_hosts: passed } : {}),
    ...(form.environmentId ? { environment_id: form.environmentId } : {}),
    ...(form.vaultIds.length > 0 ? { vault_ids: form.vaultIds } : {}),
  };
  return { policy, problems };
}

type LimitName = 'turnsPerAnchorPerHour' | 'turnsPerHour';

function given<Name extends string>(name: Name, value: number | undefined): { [Key in Name]?: number } {
  return value === undefined ? {} : ({ [name]: value } as { [Key in Name]: number });
}

/** Puts the API's words about single fields beside those; what is about none of them is left. Pure. */
export function placeProblems(message: string): { problems: PolicyProblems; rest: string | undefined } {
  const problems: PolicyProblems = {};
  const rest: string[] = [];
  for (const part of message.split('; ')) {
    const found = fieldNames.find((name) => part.startsWith(paths[name]));
    if (found) problems[found] ??= part.replace(/^[\w.]+: /, '');
    else rest.push(part);
  }
  return { problems, rest: rest.length > 0 ? rest.join('; ') : undefined };
}

const fieldNames = Object.keys(paths).filter((name): name is keyof PolicyForm => name in paths);
