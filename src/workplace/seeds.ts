/** Someone of the emulated workplace who can tag the agent. */
export interface Person {
  id: string;
  name: string;
  /** The handle in Slack and the login in GitHub. */
  handle: string;
  email: string;
  avatarInitials: string;
  /** What this person may do: own everything, write to the repository, or nothing but look and talk. */
  standing: 'owner' | 'member' | 'guest';
}

/** The people of every workplace; `guest` is the outsider whom an agent should not obey by default. */
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
