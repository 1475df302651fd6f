import { latestToolResult, type MessagesRequest, type PersonMessage, turnsOf } from './conversation.ts';
import { shellCall } from './shell-tool.ts';

export interface Usage {
  input_tokens: number;
  output_tokens: number;
}

/** What the model answers. */
export type Reply = { delayMs?: number; usage?: Usage } & (
  | { kind: 'text'; text: string }
  | { kind: 'tool'; name: string; input: Record<string, unknown>; text?: string }
  /** An HTTP error; 529 `overloaded_error` is what a busy model answers. */
  | { kind: 'error'; status: number; type: string; message: string }
  /** Never answers. */
  | { kind: 'hang' }
  /** A stream that breaks off in the middle of its text. */
  | { kind: 'cut'; text: string }
);

/** A rule looks at a request and answers it, or leaves it to the next one. */
export type Rule = (request: MessagesRequest) => Reply | undefined;

const maxEchoChars = 2_000;

/**
 * The rules of the offline model, the first that fits:
 *
 * 1. The request ends with a tool's output: answer with that output. So no tool is called twice for one message.
 * 2. Somebody asks what was asked first or before: answer from the conversation that came with the request.
 * 3. Somebody writes "use the tool `name` with {json}": call that tool, or say that it is not offered.
 * 4. Somebody asks to run (execute, call, try) a command in backticks: call the tool that runs commands with it,
 *    `bash` or whatever else the agent program calls it.
 * 5. Say that this is the offline model, and repeat what was asked.
 *
 * Only words of people who may instruct count in 2 to 4. Of several messages the last that a rule fits decides.
 */
export const offlineRules: readonly Rule[] = [answerWithToolResult, recall, useNamedTool, runCommand, echo];

function answerWithToolResult(request: MessagesRequest): Reply | undefined {
  const result = latestToolResult(request);
  if (!result) return undefined;
  const output = result.text.trim() || '(no output)';
  return { kind: 'text', text: result.failed ? `The tool failed:\n${output}` : output };
}

function instructions(request: MessagesRequest): PersonMessage[] {
  return (turnsOf(request).at(-1) ?? []).filter(({ mayInstruct }) => mayInstruct);
}

const said = String.raw`\b(?:ask|asked|say|said|tell|told|request|requested)\b`;
const asks = (when: string) =>
  new RegExp(`\\bwhat\\b[^.?!]*(?:${said}[^.?!]*\\b${when}\\b|\\b${when}\\b[^.?!]*${said})`, 'i');
const asksFirst = asks('first');
const asksBefore = asks('(?:before|earlier|previously)');

function recall(request: MessagesRequest): Reply | undefined {
  const asked = instructions(request).findLast(({ text }) => asksFirst.test(text) || asksBefore.test(text));
  if (!asked) return undefined;
  const earlier = turnsOf(request).slice(0, -1).flat();
  const first = asksFirst.test(asked.text);
  const found = first ? earlier[0] : earlier.at(-1);
  if (!found) return { kind: 'text', text: 'Nothing was asked before this.' };
  return {
    kind: 'text',
    text: `${first ? 'First' : 'Before this'} you asked: ${found.text.slice(0, maxEchoChars)}`,
  };
}

function useNamedTool(request: MessagesRequest): Reply | undefined {
  for (const { text } of instructions(request).reverse()) {
    const [, wanted, json] =
      /\buse the tool\s+`([^`]+)`\s+with\s+`{0,3}(?:json)?\s*(\{[\s\S]*\})/i.exec(text) ?? [];
    if (!wanted || !json) continue;
    let input: unknown;
    try {
      input = JSON.parse(json);
    } catch {
      return { kind: 'text', text: `The input for the tool ${wanted} is no valid JSON.` };
    }
    return callTool(request, wanted, input as Record<string, unknown>);
  }
  return undefined;
}

function runCommand(request: MessagesRequest): Reply | undefined {
  for (const { text } of instructions(request).reverse()) {
    if (!/\b(run|execute|exec|call|try)\b/i.test(text)) continue;
    const [, fenced, inline] = /```(?:\w*\n)?([\s\S]+?)```|`([^`]+)`/.exec(text) ?? [];
    const command = (fenced ?? inline)?.trim();
    if (command) return callShell(request, command);
  }
  return undefined;
}

/** By its name, or by the end of it: an MCP client puts the server's name in front. */
function callTool(request: MessagesRequest, wanted: string, input: Record<string, unknown>): Reply {
  const names = (request.tools ?? []).map(({ name }) => name);
  const name =
    names.find((offered) => offered === wanted) ??
    names.find((offered) => offered.toLowerCase().endsWith(wanted.toLowerCase()));
  return name ? { kind: 'tool', name, input } : notOffered(wanted);
}

const notOffered = (wanted: string): Reply => ({
  kind: 'text',
  text: `The offline model was asked to use the tool ${wanted}, but it is not offered here.`,
});

function callShell(request: MessagesRequest, command: string): Reply {
  const call = shellCall(request.tools ?? [], command);
  return call ? { kind: 'tool', ...call } : notOffered('bash');
}

function echo(request: MessagesRequest): Reply {
  const messages = turnsOf(request).at(-1) ?? [];
  const asked = messages.map(({ author, text }) =>
    messages.length > 1 && author ? `${author}: ${text}` : text,
  );
  const words = asked.join('\n').slice(0, maxEchoChars) || '(nothing)';
  return {
    kind: 'text',
    text: `I am the offline model: I follow a few written rules and understand nothing. You asked: ${words}`,
  };
}
