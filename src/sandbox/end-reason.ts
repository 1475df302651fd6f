export interface EndFacts {
  code: number | null;
  signal: string | null;
  /** We asked for it. */
  closing: boolean;
  /** Why we ended it, in words. */
  endedFor?: string | undefined;
  outOfMemory: boolean;
  memoryBytes: number;
  stderr: string;
}

/** Why a sandbox ended, in words for the thread. What the program wrote last is quoted, short and without controls. */
export function endReason(facts: EndFacts): string {
  if (facts.endedFor !== undefined) return facts.endedFor;
  if (facts.closing) return 'It was closed.';
  // 128 + 9: bubblewrap's way to say that its child was killed.
  const killed = facts.signal === 'SIGKILL' || facts.code === 137;
  if (facts.outOfMemory && killed) {
    return `It ran out of memory: it may use ${mebibytes(facts.memoryBytes)} MiB.`;
  }
  if (killed) return 'It was killed.';
  if (facts.signal) return `It was ended by ${facts.signal}.`;
  if (facts.code === 0) return 'It ended.';
  const last = lastLine(facts.stderr);
  return `It ended with code ${facts.code ?? 'unknown'}${last ? `: ${last}` : ''}.`;
}

const mebibytes = (bytes: number) => Math.round(bytes / (1024 * 1024));

function lastLine(text: string): string {
  const lines = text.split('\n').map((line) => line.replace(/\p{Cc}/gu, ' ').trim());
  const last = lines.filter(Boolean).at(-1) ?? '';
  return (last.length > 200 ? `${last.slice(0, 199)}…` : last).replace(/\.$/, '');
}
