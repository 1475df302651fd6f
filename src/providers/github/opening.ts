import { ignored } from '../guard-signals.ts';
import type { Signal } from '../provider.ts';
import { mentionsHandle, withoutLeadingMention } from './mentions.ts';
import { addressed, authorOf, kindOf, type Scene } from './scene.ts';

/** Labels that address the agent, besides its own handle. */
const agentLabels = new Set(['agent', 'ai-agent']);

/** An issue or pull request that was opened with, edited to hold, labelled or assigned with what addresses the agent. */
export function openingSignal(scene: Scene): Signal {
  const { payload, subject, identity, sender, name } = scene;
  const text = `${subject.title}\n\n${subject.body ?? ''}`;
  const isMentioned = mentionsHandle(text, identity.handle);
  switch (payload.action) {
    case 'opened':
      if (!isMentioned) return ignored('not_addressed');
      break;
    case 'edited': {
      const before = `${payload.changes?.title?.from ?? subject.title}\n\n${payload.changes?.body?.from ?? subject.body ?? ''}`;
      if (!isMentioned || mentionsHandle(before, identity.handle)) return ignored('edited_message');
      break;
    }
    case 'labeled':
      if (!isAgentLabel(payload.label?.name, identity.handle))
        return ignored('not_addressed', 'another label');
      break;
    case 'assigned':
      if (payload.assignee?.id !== identity.userId)
        return ignored('not_addressed', 'assigned to somebody else');
      break;
    case 'deleted':
      return ignored('deleted_message');
    default:
      return ignored('unsupported_event', name);
  }
  const writer = subject.user;
  // Who labels somebody else's text takes it up; whose text it is stays visible.
  const isByOther = writer && writer.id !== sender.id;
  const byOther = isByOther ? `(${kindOf(scene)} by @${writer.login})\n\n` : '';
  const said = withoutLeadingMention(subject.body ?? '', identity.handle);
  const externalKey = `github:${scene.repository.id}:issue:${subject.number}`;
  const whole = `# ${subject.title}${said ? `\n\n${said}` : ''}`;
  return addressed(scene, {
    // Opening with a label sends `opened` and `labeled`: one message, told of twice.
    externalKey,
    body: byOther + whole,
    written: subject,
    ...(isByOther && writer.id !== identity.userId
      ? {
          takenUp: {
            author: authorOf(writer),
            authorHint: { login: writer.login },
            body: whole,
            externalKey: `${externalKey}:text`,
            instead: `Please look into this ${kindOf(scene)}, which @${writer.login} wrote.`,
          },
        }
      : {}),
    place: { kind: 'issue', at: subject.created_at },
  });
}

function isAgentLabel(label: string | undefined, handle: string | undefined): boolean {
  const name = label?.trim().toLowerCase().replace(/^@/, '');
  return name !== undefined && (agentLabels.has(name) || name === handle?.toLowerCase());
}
