import { mayAddressBy } from '../people.ts';
import type { ProviderAdapter } from '../provider.ts';
import { createSlackPeople } from './authority.ts';
import { splitCredentials, whoAmI } from './install.ts';
import { slackPlaces } from './places.ts';
import { presence } from './presence.ts';
import { publishFlow } from './publish.ts';
import { signals } from './signals.ts';
import { slackTools } from './tools.ts';
import { webhook } from './verify.ts';
import { whisper } from './whisper.ts';

/** Slack, whole. `now` (milliseconds) is the clock of its memory of who people are. */
export function createSlackAdapter(now: () => number = Date.now): ProviderAdapter {
  const people = createSlackPeople(now);
  return {
    name: 'slack',
    apiHosts: ['slack.com'],
    webhook,
    signals,
    mayAddress: mayAddressBy(people),
    ...slackPlaces(people, now),
    placeNames: ({ channel }) => (channel ? [channel] : []),
    whisper,
    splitCredentials,
    whoAmI,
    publishFlow,
    presence,
    tools: slackTools(people),
  };
}
