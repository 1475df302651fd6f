import type { Provider } from './api.ts';

/** How people and places are written down at each provider, and who lives there. */
export const policyWords: Record<
  Provider,
  {
    authority: string;
    people: string;
    peopleExample: string;
    /** Where the provider has teams of its own. */
    teams?: string;
    places: string;
    placesHint: string;
    placesExample: string;
    guests?: string;
    external?: string;
  }
> = {
  slack: {
    authority: 'Full members of the workspace',
    people: 'Member ids, one per line. Found under a profile, "Copy member ID".',
    peopleExample: 'U024BE7LH',
    places: 'Only in these channels',
    placesHint: 'Channel ids, one per line. Empty: in every channel that it is in.',
    placesExample: 'C1H9RESGL',
    guests: 'Guests of the workspace',
    external: 'People of other workspaces (Slack Connect)',
  },
  github: {
    authority: 'People who may write to the repository',
    people: 'Logins, one per line.',
    peopleExample: 'octocat',
    teams: 'As org/team-slug, one per line. Their members have authority.',
    places: 'Only in these repositories',
    placesHint: 'One per line. Empty: wherever it is installed.',
    placesExample: 'acme/widgets\nacme/*',
    external: 'People without write access',
  },
  linear: {
    authority: 'Active members of the workspace',
    people: 'User ids, one per line.',
    peopleExample: '4b8a6d1e-…',
    places: 'Only in these teams',
    placesHint: 'Team keys, one per line. Empty: in every team that it is in.',
    placesExample: 'ENG',
    guests: 'Guests of the workspace',
  },
};
