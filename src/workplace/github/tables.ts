import type { Collection, Emulator, TokenHolder } from '../emulator.ts';

export interface GithubRepository {
  id: number;
  name: string;
  full_name: string;
  owner_id: number;
  owner_type: 'User' | 'Organization';
  private: boolean;
}

export interface GithubIssue {
  id: number;
  repo_id: number;
  number: number;
  title: string;
  body: string | null;
  state: string;
  user_id: number;
  label_ids: number[];
  is_pull_request: boolean;
}

export interface GithubComment {
  id: number;
  repo_id: number;
  issue_number: number | null;
  comment_type: string;
  body: string;
  user_id: number;
}

export interface GithubUser {
  id: number;
  login: string;
  name: string | null;
  type: string;
}

/** The rows of the emulated GitHub that the front and the page read. */
export class GithubTables {
  readonly #emulator: Emulator;

  constructor(emulator: Emulator) {
    this.#emulator = emulator;
  }

  rows(name: string): Collection {
    return this.#emulator.table(name);
  }

  repository(fullName: string): GithubRepository | undefined {
    return this.rows('repos').findBy('full_name', fullName)[0] as GithubRepository | undefined;
  }

  repositories(): GithubRepository[] {
    return this.rows('repos').all() as unknown as GithubRepository[];
  }

  issues(): GithubIssue[] {
    return (this.rows('issues').all() as unknown as GithubIssue[]).filter((issue) => !issue.is_pull_request);
  }

  comments(): GithubComment[] {
    const all = this.rows('comments').all() as unknown as GithubComment[];
    return all.filter((comment) => comment.comment_type === 'issue');
  }

  label(id: number): string | undefined {
    const row = this.rows('labels')
      .all()
      .find((label) => label.id === id);
    return typeof row?.name === 'string' ? row.name : undefined;
  }

  user(id: number): GithubUser | undefined {
    return (this.rows('users').all() as unknown as GithubUser[]).find((user) => user.id === id);
  }

  userByLogin(login: string): GithubUser | undefined {
    return this.rows('users').findBy('login', login)[0] as GithubUser | undefined;
  }

  /** Who acts with a token, undefined for an unknown one. An installation acts as its app's bot. */
  holder(token: string): TokenHolder | undefined {
    return this.#emulator.tokens.get(token);
  }

  /** `admin`, `write`, `read` or `none`: what `GET …/collaborators/{user}/permission` says. */
  permission(repository: GithubRepository, login: string): 'admin' | 'write' | 'read' | 'none' {
    const user = this.userByLogin(login);
    const otherwise = repository.private ? 'none' : 'read';
    if (!user) return otherwise;
    if (repository.owner_type === 'User' && repository.owner_id === user.id) return 'admin';
    if (repository.owner_type === 'Organization' && this.#isMember(repository.owner_id, user.id))
      return 'admin';
    const given = this.rows('collaborators')
      .findBy('repo_id', repository.id)
      .find((row) => row.user_id === user.id)?.permission;
    if (given === 'admin') return 'admin';
    if (given === 'push' || given === 'maintain') return 'write';
    return given === undefined ? otherwise : 'read';
  }

  #isMember(organizationId: number, userId: number): boolean {
    const teams = this.rows('teams').findBy('org_id', organizationId);
    return teams.some((team) =>
      this.rows('team_members')
        .findBy('team_id', team.id)
        .some((member) => member.user_id === userId),
    );
  }
}
