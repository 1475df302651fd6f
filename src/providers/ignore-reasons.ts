import type { IgnoreReason } from './provider.ts';

/** Why a delivery started nothing, in a sentence that an admin understands. */
export const ignoreReasons: Readonly<Record<IgnoreReason, string>> = {
  own_message: 'The agent wrote this itself; it does not answer itself.',
  other_bot:
    "Another bot or automation wrote this; the agent answers people only, unless the publication's policy allows bots.",
  not_addressed:
    'Nobody addressed the agent here: it was not mentioned, labelled, assigned or delegated, and the text was not a reply in a thread of its own.',
  no_authority:
    "The author may not instruct the agent here: guests, people from outside, and people without write access are not answered unless the publication's policy allows them.",
  duplicate_message: 'The same message had already reached the agent by another delivery.',
  unsupported_event: 'The provider sent an event that the agent does not act on.',
  edited_message: 'This is an edit of a message; edits do not start the agent again.',
  deleted_message: 'The message was deleted.',
  empty_message: 'The agent was addressed without a word, so there was nothing to do.',
  not_live: 'The publication was ended before this was looked at, so the agent could not answer.',
  unknown_installation:
    'The event is for another workspace or another app than the one that this publication is installed as.',
  handled_elsewhere: 'Another event of the provider tells the same, and the agent acts on that one.',
  wrong_place:
    "The publication's policy lets the agent be addressed in other channels, repositories or teams only.",
  too_many_hops:
    'Agents have answered each other here too often; the chain was cut so that it does not go on for ever.',
  limit_reached: 'The agent has been set to work here more often than its limit for one hour allows.',
  unknown_approval: 'There is no request for approval with this id here.',
  decision_refused: 'The decision on a request for approval did not count.',
  malformed: 'The request was signed correctly, but its content is not what the provider documents.',
};
