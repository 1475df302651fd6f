import type { InstallationIdentity, MessageAuthor } from '../../store/schema.ts';
import type { AnchorAddress, Quoted, Signal } from '../provider.ts';
import { hopsIn } from './hops.ts';
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

/** The issue or pull request as an anchor. */
export function anchorOf(scene: Scene): AnchorAddress {
  const { repository, subject } = scene;
  const owner = repository.owner.login;
  const number = String(subject.number);
  return {
    key: `${repository.id}#${number}`,
    place: {
      owner,
      repo: repository.name,
      number,
      repository_id: repository.id,
      kind: scene.isPullRequest ? 'pull_request' : 'issue',
    },
    title: `${owner}/${repository.name}#${number} ${subject.title}`.slice(0, 120),
  };
}

/** Somebody as the author of a message. */
export function authorOf(user: GithubUser): MessageAuthor {
  return { id: user.id, name: user.login, kind: user.type === 'Bot' ? 'bot' : 'person' };
}

export interface Said {
  externalKey: string;
  body: string;
  place: Record<string, string | null | undefined>;
  /** The text itself, as it is at GitHub. */
  written: { body?: string | null | undefined; html_url?: string | null | undefined };
  takenUp?: Quoted;
}

/** The signal of a message that addresses the agent. Fields of `place` without a value are left out. */
export function addressed(scene: Scene, message: Said): Signal {
  const { subject, sender } = scene;
  const { written, takenUp } = message;
  const hops = sender.type === 'Bot' ? hopsIn(written.body) : undefined;
  return {
    kind: 'addressed',
    anchor: anchorOf(scene),
    externalKey: message.externalKey,
    author: authorOf(sender),
    body: message.body,
    place: Object.fromEntries(
      Object.entries(message.place).filter((entry): entry is [string, string] => Boolean(entry[1])),
    ),
    authorHint: {
      login: sender.login,
      ...(subject.user ? { opened_by: subject.user.login } : {}),
    },
    ...(hops === undefined ? {} : { hops }),
    ...(takenUp ? { takenUp } : {}),
    // Who takes up a text of ours, as by a label, has not written it.
    ...(written.html_url && scene.payload.action === 'created' ? { written: { url: written.html_url } } : {}),
  };
}
