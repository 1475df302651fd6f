/** What an answer of a model says of itself. Null where it does not say. */
export interface ModelUsage {
  model: string | null;
  inputTokens: number | null;
  outputTokens: number | null;
  cachedTokens: number | null;
  /** Went into the cache; part of the input too. Only Anthropic says so. */
  writtenTokens: number | null;
  stopReason: string | null;
}

type Json = Record<string, unknown>;

const object = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
const count = (value: unknown): number | null =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null;
const word = (value: unknown): string | null => (typeof value === 'string' ? value.slice(0, 128) : null);

/** One line of a stream, or one whole answer, is not kept beyond this. */
const maxKeptChars = 4 * 1024 * 1024;

/**
 * Reads along while an answer of Anthropic's messages, OpenAI's chat and responses or Google's models goes by, streamed or whole, and
 * keeps the numbers only. What it cannot read it leaves out; it never stops anything.
 */
export class UsageReader {
  readonly usage: ModelUsage = {
    model: null,
    inputTokens: null,
    outputTokens: null,
    cachedTokens: null,
    writtenTokens: null,
    stopReason: null,
  };
  readonly #decoder = new TextDecoder();
  #held = '';
  #streamed: boolean | undefined;

  push(chunk: Buffer): void {
    this.#held += this.#decoder.decode(chunk, { stream: true });
    this.#streamed ??= this.#held.trim() === '' ? undefined : !this.#held.trimStart().startsWith('{');
    if (this.#streamed) {
      const lines = this.#held.split('\n');
      this.#held = lines.pop() ?? '';
      for (const line of lines) this.#line(line);
    }
    if (this.#held.length > maxKeptChars) this.#held = '';
  }

  /** Call at the end: a whole answer is read now. */
  end(): void {
    if (this.#streamed) this.#line(this.#held);
    else this.#read(this.#held);
    this.#held = '';
  }

  #line(line: string): void {
    // Most events are a few characters of text and say nothing of the whole.
    if (
      line.startsWith('data:') &&
      /"(?:usage|model|stop_reason|finish_reason|status|usageMetadata|finishReason)"/.test(line)
    ) {
      this.#read(line.slice('data:'.length));
    }
  }

  #read(text: string): void {
    let value: Json;
    try {
      value = object(JSON.parse(text));
    } catch {
      return;
    }
    // Anthropic's message_start has a `message`, OpenAI's response events a `response`.
    for (const part of [value, object(value.message), object(value.response)]) this.#take(part);
    this.#stop(object(value.delta).stop_reason);
  }

  #take(part: Json): void {
    const { usage } = this;
    usage.model ??= word(part.model);
    this.#stop(part.stop_reason);
    if (Array.isArray(part.choices)) this.#stop(object(part.choices[0]).finish_reason);
    if (part.object === 'response' && part.status !== 'in_progress') this.#stop(part.status);
    const told = object(part.usage);
    const read = count(told.cache_read_input_tokens);
    const written = count(told.cache_creation_input_tokens);
    const input = count(told.input_tokens) ?? count(told.prompt_tokens);
    // Anthropic counts what came from its cache apart, OpenAI within.
    if (input !== null) usage.inputTokens = input + (read ?? 0) + (written ?? 0);
    usage.outputTokens = count(told.output_tokens) ?? count(told.completion_tokens) ?? usage.outputTokens;
    usage.cachedTokens =
      read ??
      count(object(told.prompt_tokens_details).cached_tokens) ??
      count(object(told.input_tokens_details).cached_tokens) ??
      usage.cachedTokens;
    usage.writtenTokens = written ?? usage.writtenTokens;
    this.#takeGoogle(part);
  }

  #takeGoogle(part: Json): void {
    const { usage } = this;
    usage.model ??= word(part.modelVersion);
    if (Array.isArray(part.candidates)) this.#stop(object(part.candidates[0]).finishReason);
    const told = object(part.usageMetadata);
    const said = count(told.candidatesTokenCount);
    const thought = count(told.thoughtsTokenCount);
    usage.inputTokens = count(told.promptTokenCount) ?? usage.inputTokens;
    if (said !== null || thought !== null) usage.outputTokens = (said ?? 0) + (thought ?? 0);
    usage.cachedTokens = count(told.cachedContentTokenCount) ?? usage.cachedTokens;
  }

  #stop(reason: unknown): void {
    this.usage.stopReason = word(reason) ?? this.usage.stopReason;
  }
}
