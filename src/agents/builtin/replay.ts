import type { SessionUpdate } from '@agentclientprotocol/sdk';
import type { ModelMessage } from 'ai';

/** A transcript as the updates that ACP wants replayed when a conversation is loaded. */
export function* replay(messages: readonly ModelMessage[]): Generator<SessionUpdate> {
  for (const message of messages) {
    if (message.role === 'system') continue;
    const parts =
      typeof message.content === 'string'
        ? [{ type: 'text' as const, text: message.content }]
        : message.content;
    for (const part of parts) {
      if (part.type === 'text') {
        const content = { type: 'text' as const, text: part.text };
        yield message.role === 'user'
          ? { sessionUpdate: 'user_message_chunk', content }
          : { sessionUpdate: 'agent_message_chunk', content };
      } else if (part.type === 'tool-call') {
        yield {
          sessionUpdate: 'tool_call',
          toolCallId: part.toolCallId,
          title: part.toolName,
          status: 'completed',
          rawInput: part.input,
        };
      }
    }
  }
}
