export type Provider = 'slack' | 'github' | 'linear';

/** What the command line of `publish` says. */
export interface PublishOptions {
  /** An earlier publication to go on with. */
  publication?: string;
  agent?: string;
  name?: string;
  owner?: string;
  workplace?: boolean;
  /** A new one, also where the same command made one before. */
  new?: boolean;
  clientId?: string;
  clientSecret?: string;
  signingSecret?: string;
  /** Prints what comes next and ends instead of asking and waiting. */
  wait: boolean;
}
