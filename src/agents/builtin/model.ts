import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import type { LanguageModel } from 'ai';

/** Stands where the key goes; the egress process takes it off and puts the real one on. */
const placeholderKey = 'placeholder';
const openaiPrefix = 'openai/';

/** The model behind an id: `openai/<name>` at OpenAI, everything else at Anthropic. By their real host names. */
export function languageModel(id: string): Exclude<LanguageModel, string> {
  if (id.startsWith(openaiPrefix)) {
    const provider = createOpenAICompatible({
      name: 'openai',
      baseURL: 'https://api.openai.com/v1',
      apiKey: placeholderKey,
      includeUsage: true,
    });
    return provider(id.slice(openaiPrefix.length));
  }
  return createAnthropic({ baseURL: 'https://api.anthropic.com/v1', apiKey: placeholderKey })(id);
}
