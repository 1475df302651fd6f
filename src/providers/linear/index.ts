import { mayAddressBy } from '../people.ts';
import type { ProviderAdapter } from '../provider.ts';
import { createLinearPeople } from './authority.ts';
import { splitCredentials, whoAmI } from './install.ts';
import { linearPlaces } from './places.ts';
import { presence } from './presence.ts';
import { publishFlow } from './publish.ts';
import { signals } from './signals.ts';
import { linearTools } from './tools.ts';
import { webhook } from './verify.ts';

/** Linear, whole. `now` (milliseconds) is the clock of its memory of who people are. */
export function createLinearAdapter(now: () => number = Date.now): ProviderAdapter {
  const people = createLinearPeople(now);
  return {
    name: 'linear',
    apiHosts: ['api.linear.app'],
    webhook,
    signals,
    mayAddress: mayAddressBy(people),
    ...linearPlaces(people, now),
    placeNames: ({ identifier }) => (identifier ? [identifier.replace(/-\d+$/, '')] : []),
    splitCredentials,
    whoAmI,
    publishFlow,
    presence,
    tools: linearTools(people),
  };
}
