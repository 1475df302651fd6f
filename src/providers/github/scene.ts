import type { InstallationIdentity } from '../../store/schema.ts';
import type { Signal } from '../provider.ts';
import type { GithubIssue, GithubPayload, GithubUser } from './payload.ts';

/** A delivery about an issue or pull request, with what every reading of it needs. */
export interface Scene {
  name: string;
  payload: GithubPayload;
  identity: InstallationIdentity;
  sender: GithubUser;
  repository: NonNullable<GithubPayload['repository']>;
  subject: GithubIssue;
  isPullRequest: boolean;
}

/** What an admin calls it. */
export function kindOf(scene: Scene): string {
  return scene.isPullRequest ? 'pull request' : 'issue';
}

/** The signal of a message that addresses the agent. Fields of `place` without a value are left out. */
export function addressed(
  scene: Scene,
  message: { externalKey: string; body: string; place: Record<string, string | null | undefined> },
): Signal {
  const { repository, subject, sender } = scene;
  const owner = repository.owner.login;
  const number = String(subject.number);
  return {
    kind: 'addressed',
    anchor: {
      key: `${repository.id}#${number}`,
      place: {
        owner,
        repo: repository.name,
        number,
        repository_id: repository.id,
        kind: scene.isPullRequest ? 'pull_request' : 'issue',
      },
      title: `${owner}/${repository.name}#${number} ${subject.title}`.slice(0, 120),
    },
    externalKey: message.externalKey,
    author: { id: sender.id, name: sender.login, kind: 'person' },
    body: message.body,
    place: Object.fromEntries(
      Object.entries(message.place).filter((entry): entry is [string, string] => Boolean(entry[1])),
    ),
    authorHint: {
      login: sender.login,
      ...(scene.subject.user ? { opened_by: scene.subject.user.login } : {}),
    },
  };
}
