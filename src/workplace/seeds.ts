/** Someone of the emulated workplace who can tag the agent. */
export interface Person {
  id: string;
  name: string;
  /** The handle in Slack and the login in GitHub. */
  handle: string;
  email: string;
  avatarInitials: string;
  /**
   * What this person may do: own everything, write to the repository, or nothing but look and talk. Who is `external`
   * belongs to another company: in Slack by Slack Connect, in GitHub a stranger, and in Linear not at all.
   */
  standing: 'owner' | 'member' | 'guest' | 'external';
}

/** The people of every workplace; `guest` and `cleo` are the outsiders whom an agent should not obey by default. */
export const people: readonly Person[] = [
  {
    id: 'maya',
    name: 'Maya Lindqvist',
    handle: 'maya',
    email: 'maya@acme.example',
    avatarInitials: 'ML',
    standing: 'owner',
  },
  {
    id: 'jonas',
    name: 'Jonas Weber',
    handle: 'jonas',
    email: 'jonas@acme.example',
    avatarInitials: 'JW',
    standing: 'member',
  },
  {
    id: 'guest',
    name: 'Gia Rossi',
    handle: 'gia',
    email: 'gia@outside.example',
    avatarInitials: 'GR',
    standing: 'guest',
  },
  {
    id: 'cleo',
    name: 'Cleo Tan',
    handle: 'cleo',
    email: 'cleo@partner.example',
    avatarInitials: 'CT',
    standing: 'external',
  },
];

/** What the workplace holds on its first day. */
export const seeds = {
  company: 'Acme',
  companySlug: 'acme',
  slackChannels: ['general', 'support'],
  repository: { owner: 'acme', name: 'widgets', description: 'Widgets of every size, made with care.' },
  linearTeam: { key: 'ENG', name: 'Engineering' },
} as const;

/** A name as Slack handles and GitHub slugs want it: lower case letters, digits and dashes. */
export function slugOf(name: string): string {
  return (
    name
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '') || 'agent'
  );
}
