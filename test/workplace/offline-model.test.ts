import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateText, isStepCount, streamText, tool } from 'ai';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Rule } from '../../src/workplace/model/rules.ts';
import type { Workplace } from '../../src/workplace/workplace.ts';
import { openWorkplace } from './support/open-workplace.ts';

globalThis.AI_SDK_LOG_WARNINGS = false;

function modelOf(workplace: Workplace, apiKey = workplace.modelApiKey) {
  return createAnthropic({ baseURL: `${workplace.upstreams.modelUrl}/v1`, apiKey })('claude-offline');
}

function openaiModelOf(workplace: Workplace, apiKey = workplace.modelApiKey) {
  const baseURL = `${workplace.upstreams.modelUrl}/v1`;
  return createOpenAICompatible({ name: 'offline', baseURL, apiKey, includeUsage: true })('gpt-offline');
}

const bash = tool({
  description: 'Runs a command',
  inputSchema: z.object({ command: z.string() }),
  execute: async ({ command }) => `ran ${command}`,
});

describe.each([
  { wire: "Anthropic's", modelOf },
  { wire: "OpenAI's", modelOf: openaiModelOf },
])('the offline model on $wire wire, driven by the AI SDK', ({ modelOf }) => {
  it('answers whole and in a stream', async () => {
    const { workplace } = await openWorkplace();
    const whole = await generateText({ model: modelOf(workplace), prompt: 'Grüße 👋 '.repeat(40) });
    expect(whole.text).toContain('You asked: Grüße 👋');
    expect(whole.finishReason).toBe('stop');
    const stream = streamText({ model: modelOf(workplace), prompt: 'Grüße 👋 '.repeat(40) });
    expect(await stream.text).toBe(whole.text);
    expect((await stream.usage).outputTokens).toBeGreaterThan(10);
  });

  it.each([generateText, streamText])('calls a tool once and answers with its output (%o)', async (run) => {
    const { workplace } = await openWorkplace();
    const answer = run({
      model: modelOf(workplace),
      prompt: 'run `echo hi`',
      tools: { bash },
      stopWhen: isStepCount(10),
    });
    const settled = await answer;
    expect(await settled.text).toBe('ran echo hi');
    expect(await settled.steps).toHaveLength(2);
  });

  it('lets nobody in without the key', async () => {
    const { workplace } = await openWorkplace();
    const forged = generateText({ model: modelOf(workplace, 'sk-forged'), prompt: 'hi', maxRetries: 0 });
    await expect(forged).rejects.toMatchObject({ statusCode: 401 });
  });

  it('follows a script: usage, delay, overload, silence, a broken stream', async () => {
    const script: Rule[] = [];
    const { workplace, clock } = await openWorkplace({
      modelRules: [(request) => script.shift()?.(request)],
    });
    const model = modelOf(workplace);
    const usage = { input_tokens: 7, output_tokens: 9 };
    script.push(() => ({ kind: 'text', text: 'counted', usage }));
    expect((await generateText({ model, prompt: 'hi' })).usage).toMatchObject({
      inputTokens: 7,
      outputTokens: 9,
    });

    script.push(() => ({ kind: 'error', status: 529, type: 'overloaded_error', message: 'Overloaded' }));
    const overloaded = generateText({ model, prompt: 'hi', maxRetries: 0 });
    const error = await overloaded.catch((reason: unknown) => reason);
    expect(APICallError.isInstance(error) && [error.statusCode, error.isRetryable]).toEqual([529, true]);

    let asked = (): void => {};
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve;
    });
    script.push(() => {
      asked();
      return { kind: 'text', text: 'late', delayMs: 60_000 };
    });
    const late = generateText({ model, prompt: 'hi' });
    await isAsked;
    await clock.advance(60_000);
    expect((await late).text).toBe('late');

    const abort = new AbortController();
    script.push(() => {
      setImmediate(() => abort.abort());
      return { kind: 'hang' };
    });
    const hung = generateText({ model, prompt: 'hi', abortSignal: abort.signal, maxRetries: 0 });
    await expect(hung).rejects.toThrow();

    script.push(() => ({ kind: 'cut', text: 'half a sent' }));
    const parts: string[] = [];
    const cut = streamText({ model, prompt: 'hi', maxRetries: 0, onError: () => {} });
    for await (const part of cut.stream) parts.push(part.type);
    expect(parts).toContain('error');
    expect(parts).not.toContain('finish-step');
  });

  it('answers from the conversation what was asked first', async () => {
    const { workplace } = await openWorkplace();
    const answer = await generateText({
      model: modelOf(workplace),
      messages: [
        { role: 'user', content: 'Where does the sun rise?' },
        { role: 'assistant', content: 'In the east.' },
        { role: 'user', content: 'What did I ask first?' },
      ],
    });
    expect(answer.text).toBe('First you asked: Where does the sun rise?');
  });
});

describe('the offline model', () => {
  it('refuses what is no request, and counts tokens', async () => {
    const { workplace } = await openWorkplace();
    const post = async (path: string, body: string) => {
      const headers = { 'x-api-key': workplace.modelApiKey, 'content-type': 'application/json' };
      const response = await fetch(`${workplace.upstreams.modelUrl}${path}`, {
        method: 'POST',
        headers,
        body,
      });
      return { status: response.status, json: await response.json() };
    };
    for (const body of ['', '{', '[]', '{"model":"m"}', '{"model":"m","messages":[]}']) {
      expect(await post('/v1/messages', body)).toMatchObject({
        status: 400,
        json: { type: 'error', error: { type: 'invalid_request_error' } },
      });
    }
    const request = { model: 'm', messages: [{ role: 'user', content: 'x'.repeat(400) }] };
    const { json } = await post('/v1/messages/count_tokens', JSON.stringify(request));
    expect(json).toEqual({ input_tokens: expect.any(Number) });
    expect(await post('/v1/nothing', '{}')).toMatchObject({ status: 404 });
  });

  it('is not there when a real model is used', async () => {
    const { workplace } = await openWorkplace({ offlineModel: false });
    expect(workplace.upstreams.modelUrl).toBeUndefined();
  });
});
