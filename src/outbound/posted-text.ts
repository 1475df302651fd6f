import type { ProviderName } from '../store/schema.ts';

type PostedText = (
  input: Readonly<Record<string, unknown>>,
  place: Readonly<Record<string, string>>,
) => unknown;

/**
 * The tools whose call is a post in the anchor itself, where the reply goes too. Linear has none: its comments are on
 * the issue, the reply is a response in the agent session.
 */
const anchorPosts: Readonly<Record<ProviderName, Readonly<Record<string, PostedText>>>> = {
  slack: { slack_reply: (input) => input.text },
  github: {
    github_comment: (input, place) =>
      input.number === undefined || String(input.number) === place.number ? input.body : undefined,
  },
  linear: {},
};

/** Names of the tools that may post in an anchor of this provider. */
export function anchorPostTools(provider: ProviderName): string[] {
  return Object.keys(anchorPosts[provider]);
}

/** What a call of one of them posted in this anchor; undefined when it was elsewhere. Pure. */
export function postedText(
  provider: ProviderName,
  tool: string,
  input: Readonly<Record<string, unknown>>,
  place: Readonly<Record<string, string>>,
): string | undefined {
  const text = anchorPosts[provider][tool]?.(input, place);
  return typeof text === 'string' ? text : undefined;
}
