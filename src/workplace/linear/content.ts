import { linearError } from './errors.ts';
import type { ActivityContent, SessionStatus } from './records.ts';

const bodyTypes = ['thought', 'elicitation', 'response', 'error'] as const;

/**
 * The content of an activity that an agent wants to create, as Linear checks it: a `body` for everything but an action,
 * which needs `action` and `parameter` and may have `result`. `prompt` is the person's side.
 */
export function checkedContent(content: unknown): ActivityContent {
  const given = (typeof content === 'object' && content !== null ? content : {}) as Record<string, unknown>;
  if (given.type === 'action') {
    for (const field of ['action', 'parameter'] as const) {
      if (typeof given[field] !== 'string') throw invalid(`content.${field} must be a string for an action`);
    }
    if (given.result !== undefined && given.result !== null && typeof given.result !== 'string') {
      throw invalid('content.result must be a string');
    }
    return { type: 'action', action: given.action, parameter: given.parameter, result: given.result ?? null };
  }
  const type = bodyTypes.find((known) => known === given.type);
  if (!type) throw invalid('content.type must be one of thought, action, elicitation, response, error');
  if (typeof given.body !== 'string' || given.body.trim() === '') {
    throw invalid(`content.body must be a string that is not empty for a ${type}`);
  }
  return { type, body: given.body };
}

/** Only thoughts and actions may be ephemeral; `select` and `auth` belong to elicitations. */
export function checkModifiers(content: ActivityContent, ephemeral: boolean, signal: string | null): void {
  if (ephemeral && content.type !== 'thought' && content.type !== 'action') {
    throw invalid(`a ${content.type} cannot be ephemeral`);
  }
  if (signal !== null && content.type !== 'elicitation') {
    throw invalid(`the signal ${signal} does not go with a ${content.type}`);
  }
}

const statusAfter: Record<ActivityContent['type'], SessionStatus> = {
  thought: 'active',
  action: 'active',
  elicitation: 'awaitingInput',
  response: 'complete',
  error: 'error',
  prompt: 'active',
};

/** What an activity makes of its session; a prompt with the signal `stop` waits for the agent's last word. */
export function nextStatus(content: ActivityContent, signal: string | null): SessionStatus {
  return content.type === 'prompt' && signal === 'stop' ? 'stopping' : statusAfter[content.type];
}

function invalid(what: string) {
  return linearError('invalid_input', `Argument Validation Error - ${what}.`);
}
