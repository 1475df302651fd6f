/** What went wrong at the model: a sentence for the thread, and whether it is worth another try. */
export interface ModelFailure {
  message: string;
  retryable: boolean;
  /** What the provider asks us to wait. */
  retryAfterMs: number | undefined;
}

const maxWaitMs = 60_000;

/** What the AI SDK's errors for an HTTP answer and for an `error` event in a stream have in common. */
interface ProviderAnswer extends Error {
  statusCode: number;
  responseHeaders?: Record<string, string>;
}

const isAnswer = (error: unknown): error is ProviderAnswer =>
  error instanceof Error && typeof (error as Partial<ProviderAnswer>).statusCode === 'number';

/** Reads an error of the AI SDK. Quotes the provider only where it calls the request itself wrong. */
export function modelFailure(error: unknown, model: string): ModelFailure {
  if (isAnswer(error)) {
    const { statusCode: status, message, responseHeaders } = error;
    return {
      message: sentence(status, model, message),
      retryable: status === 408 || status === 409 || status === 429 || status >= 500,
      retryAfterMs: retryAfterMs(responseHeaders ?? {}),
    };
  }
  if (error instanceof Error && error.name === 'AI_StreamProviderError') {
    return {
      message: `The model broke off: ${clip(error.message)}`,
      retryable: true,
      retryAfterMs: undefined,
    };
  }
  return {
    message: `The model could not be reached (${causeCode(error)}). Try again in a minute.`,
    retryable: true,
    retryAfterMs: undefined,
  };
}

/** What an answer that ended before its end comes to. */
export const brokenOff: ModelFailure = {
  message: 'The model broke off in the middle of its answer. Try again.',
  retryable: true,
  retryAfterMs: undefined,
};

function sentence(status: number, model: string, quote: string): string {
  if (status === 401) {
    return "The model provider did not accept the platform's key (HTTP 401). An operator has to check it.";
  }
  if (status === 403 || status === 407) {
    return `The request to the model was refused (HTTP ${status}). An operator has to check the model's key and what this agent may reach.`;
  }
  if (status === 404)
    return `The model "${model}" does not exist at the provider (HTTP 404). Choose another for this agent.`;
  if (status === 413 || /too long|context (length|window)|maximum context/i.test(quote)) {
    return 'The conversation has become too long for the model. Start a new one.';
  }
  if (status === 429) return 'The model provider is limiting us (HTTP 429). Try again in a few minutes.';
  if (status >= 500) return `The model provider has a problem (HTTP ${status}). Try again in a few minutes.`;
  return `The model provider refused the request (HTTP ${status}): ${clip(quote)}`;
}

function retryAfterMs(headers: Record<string, string>): number | undefined {
  const exact = Number.parseFloat(headers['retry-after-ms'] ?? '');
  const seconds = Number.parseFloat(headers['retry-after'] ?? '');
  const waitMs = Number.isFinite(exact) ? exact : seconds * 1000;
  return Number.isFinite(waitMs) && waitMs >= 0 ? Math.min(waitMs, maxWaitMs) : undefined;
}

function causeCode(error: unknown): string {
  for (let current = error; current instanceof Error; current = current.cause) {
    const { code } = current as { code?: unknown };
    if (typeof code === 'string') return code;
  }
  return 'no answer';
}

const clip = (text: string) => (text.length > 200 ? `${text.slice(0, 199)}…` : text);
