import type { TokenFault } from './tokens.ts';

type Kind = 'start' | 'state' | 'handoff' | 'handoff_session';

const whatItIs: Record<Kind, string> = {
  start: 'This link',
  state: 'This way back',
  handoff: 'This link',
  handoff_session: 'This page',
};

const again: Record<Kind, string> = {
  start: 'Go back to the console, or run `tagalong publish` again: each try makes a new link.',
  state:
    'Nothing was changed. Start the step again from the console, the link that you were given, or `tagalong publish`.',
  handoff: 'Ask the person who sent it to you for a new one.',
  handoff_session: 'Open the link that you were given, or ask for a new one.',
};

const faults: Record<TokenFault, (kind: Kind) => string> = {
  missing: (kind) => `${whatItIs[kind]} does not say what it belongs to.`,
  altered: (kind) => `${whatItIs[kind]} was changed on the way: a part of it is missing or different.`,
  unknown: (kind) => `${whatItIs[kind]} is not one of this server's.`,
  expired: (kind) =>
    `${whatItIs[kind]} was valid for ${kind.startsWith('handoff') ? 'seven days' : 'an hour'}, and that time is over.`,
  used: (kind) => `${whatItIs[kind]} works once, and it was used already.`,
  revoked: (kind) => `${whatItIs[kind]} was taken back by the person who made it.`,
  other_browser: () =>
    'This step was started in another browser. Finish it there, so that nobody can slip you an app that is not yours.',
};

/** What a page says where a link or a state is not taken, and what to do. Pure. */
export function faultText(kind: Kind, fault: TokenFault) {
  return {
    title: kind === 'state' ? 'This step cannot be finished here' : 'This link cannot be used',
    paragraphs: [faults[fault](kind), again[kind]],
  };
}
