import type { MessagesRequest } from './conversation.ts';
import type { Answer } from './dialect.ts';
import type { Usage } from './rules.ts';

const charsPerToken = 4;

/** A rough count of tokens: a quarter of the characters of everything that was sent. */
export function countTokens(request: unknown): number {
  return Math.ceil(JSON.stringify(request).length / charsPerToken);
}

/** What an answer is said to have cost: what its rule says, else a rough count. */
export function usageOf(request: MessagesRequest, answer: Answer, content: unknown): Usage {
  return (
    answer.usage ?? {
      input_tokens: countTokens({
        system: request.system,
        messages: request.messages,
        tools: request.tools,
      }),
      output_tokens: countTokens(content),
    }
  );
}
