/** What the model is told of where it is, behind what the agent's own instructions say. */
export function systemText(input: {
  system: string;
  workspace: string;
  unreachable: readonly string[];
}): string {
  const parts = [
    input.system.trim(),
    [
      `You work in a sandbox. ${input.workspace} is your workspace and stays between turns, like your home folder; /tmp does not.`,
      'Your last message of a turn is your reply. Say in it what matters to the people who asked, and not what you did step by step.',
      'The network is reached through a proxy that allows listed hosts only and puts credentials on by itself; you never need or see a key. A refused request will be refused again.',
    ].join('\n'),
  ];
  if (input.unreachable.length > 0) {
    parts.push(
      `The tools of these servers could not be reached in this turn: ${input.unreachable.join(', ')}.`,
    );
  }
  return parts.filter(Boolean).join('\n\n');
}
