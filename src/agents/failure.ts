import { RequestError } from '@agentclientprotocol/sdk';
import { AgentError } from './program.ts';

/** ACP's code for "log in first". */
const authRequired = -32000;
const maxChars = 300;

/** What an error that the program answered a turn with comes to, in a sentence for the thread. */
export function promptFailure(error: unknown): AgentError {
  if (error instanceof AgentError) return error;
  if (!(error instanceof RequestError)) {
    return new AgentError('protocol', 'The agent program answered in a way that is not ACP.', {
      cause: error,
    });
  }
  if (error.code === authRequired) {
    return new AgentError(
      'model_failed',
      'The agent program has no access to its model: it asks for a login.',
      {
        cause: error,
      },
    );
  }
  const data = error.data as { tagalong?: unknown; details?: unknown } | undefined;
  // Our own program answers with a whole sentence.
  if (data?.tagalong === 'model_failed')
    return new AgentError('model_failed', plain(error.message), { cause: error });
  if (data?.tagalong === 'disk_full')
    return new AgentError('disk_full', 'My workspace is full: I cannot remember what was said last.', {
      cause: error,
    });
  const detail = typeof data?.details === 'string' ? `${error.message}: ${data.details}` : error.message;
  return new AgentError('model_failed', `The agent program reported an error: ${plain(detail)}`, {
    cause: error,
  });
}

/** What an error during the start comes to. */
export function startFailure(error: unknown, step: string): AgentError {
  if (error instanceof AgentError) return error;
  if (error instanceof RequestError) {
    const code = error.code === authRequired ? 'start_failed' : 'protocol';
    return new AgentError(code, `The agent program refused ${step}: ${plain(error.message)}`, {
      cause: error,
    });
  }
  return new AgentError('protocol', `The agent program answered ${step} in a way that is not ACP.`, {
    cause: error,
  });
}

/** One bounded line without control characters: it comes from the program. */
function plain(text: string): string {
  const line = text.replace(/\p{Cc}+/gu, ' ').trim();
  return line.length > maxChars ? `${line.slice(0, maxChars - 1)}…` : line;
}
