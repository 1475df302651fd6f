import type { InstallationIdentity } from '../../store/schema.ts';
import { guardSignals, ignored, malformed } from '../guard-signals.ts';
import type { Delivery, Signal } from '../provider.ts';
import { isJsonObject, webhookJson } from '../webhook-body.ts';
import { openingSignal } from './opening.ts';
import { type GithubPayload, type GithubWritten, payloadSchema } from './payload.ts';
import { remarkSignal } from './remark.ts';
import type { Scene } from './scene.ts';

/** What a GitHub delivery means. Pure; never throws. */
export function signals(delivery: Delivery, identity: InstallationIdentity): Signal[] {
  return guardSignals(() => {
    const event = delivery.headers['x-github-event'];
    const body = webhookJson(delivery);
    if (!event) return [malformed('without X-GitHub-Event')];
    if (!handled.has(event)) return [ignored('unsupported_event', nameOf(event, body))];
    const payload = payloadSchema.safeParse(body);
    if (payload.success) return [signalOf(event, payload.data, identity)];
    return [malformed(`not a payload of ${event}: ${payload.error.issues[0]?.path.join('.')}`)];
  });
}

const handled = new Set([
  'installation',
  'issues',
  'issue_comment',
  'pull_request',
  'pull_request_review',
  'pull_request_review_comment',
]);

function nameOf(event: string, body: unknown): string {
  const action = isJsonObject(body) ? body.action : undefined;
  return typeof action === 'string' ? `${event}.${action}` : event;
}

function signalOf(event: string, payload: GithubPayload, identity: InstallationIdentity): Signal {
  const name = nameOf(event, payload);
  const installation = payload.installation?.id;
  // Installed anew, it has a new number. Whoever is told asks GitHub's API where the app is.
  if (event === 'installation' && payload.action === 'created') return lifecycleSignal('created', name);
  const isCurrent = installation === identity.workspaceId;
  // What waited for the app to be installed anew still has the number of before. An end of that is no news any more.
  const wasOurs = event !== 'installation' && (identity.formerIds ?? []).some((id) => id === installation);
  if (!isCurrent && !wasOurs) {
    return ignored('unknown_installation', `installation ${installation ?? 'missing'}`);
  }
  if (event === 'installation') return lifecycleSignal(payload.action, name);
  const { sender, repository } = payload;
  if (!sender || !repository) return malformed(`${name} without sender or repository`);
  if (sender.id === identity.userId) return ignored('own_message');
  const subject = payload.issue ?? payload.pull_request;
  if (!subject) return malformed(`${name} without issue or pull_request`);
  const scene: Scene = {
    name,
    payload,
    identity,
    sender,
    repository,
    subject,
    isPullRequest: event.startsWith('pull_request') || Boolean(subject.pull_request),
  };
  // A user token of our own app writes with a person as the sender.
  const author = writtenIn(event, payload);
  const isNew = payload.action === 'created' || payload.action === 'opened' || payload.action === 'submitted';
  if (isNew && identity.appId && author?.performed_via_github_app?.id === identity.appId) {
    return ignored('own_message');
  }
  const signal =
    event === 'issues' || event === 'pull_request' ? openingSignal(scene) : remarkSignal(event, scene);
  // Another bot counts only where it addresses the agent; whether it may is for the publication's policy.
  return sender.type === 'Bot' && signal.kind !== 'addressed' ? ignored('other_bot', sender.login) : signal;
}

function writtenIn(event: string, payload: GithubPayload): GithubWritten | null | undefined {
  if (event === 'issues') return payload.issue;
  if (event === 'pull_request') return payload.pull_request;
  return event === 'pull_request_review' ? payload.review : payload.comment;
}

function lifecycleSignal(action: string | undefined, name: string): Signal {
  switch (action) {
    case 'created':
    // Whoever is told asks GitHub's API, which says the new permissions as well.
    case 'new_permissions_accepted':
      return { kind: 'lifecycle', change: 'installed' };
    case 'deleted':
      return { kind: 'lifecycle', change: 'uninstalled' };
    case 'suspend':
      return { kind: 'lifecycle', change: 'suspended' };
    case 'unsuspend':
      return { kind: 'lifecycle', change: 'unsuspended' };
    default:
      return ignored('unsupported_event', name);
  }
}
