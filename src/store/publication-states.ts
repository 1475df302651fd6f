import type { PublicationState } from './schema.ts';

/** What happens to a publication. */
export type PublicationEvent =
  /** Its app exists at the provider and its credentials are here. */
  | 'credentials_filled'
  /** Somebody was sent to the provider to install the app. */
  | 'install_started'
  /** The provider has said who we are there. */
  | 'installed'
  /** The provider no longer accepts its token: revoked, uninstalled, refused. */
  | 'revoked'
  | 'suspended'
  | 'unsuspended'
  | 'unpublished';

type Row = Partial<Record<PublicationEvent, PublicationState>>;

/** State × event → state. What is not here changes nothing, so that everything may come late, or twice. */
const table: Readonly<Record<PublicationState, Row>> = {
  pending_setup: { credentials_filled: 'credentials_filled', unpublished: 'unpublished' },
  credentials_filled: {
    install_started: 'awaiting_install',
    installed: 'live',
    unpublished: 'unpublished',
  },
  awaiting_install: { installed: 'live', unpublished: 'unpublished' },
  live: { revoked: 'needs_reauth', suspended: 'suspended', unpublished: 'unpublished' },
  needs_reauth: { installed: 'live', suspended: 'suspended', unpublished: 'unpublished' },
  suspended: {
    installed: 'live',
    unsuspended: 'live',
    revoked: 'needs_reauth',
    unpublished: 'unpublished',
  },
  unpublished: {},
};

/** The state after an event. Pure. */
export function nextPublicationState(state: PublicationState, event: PublicationEvent): PublicationState {
  return table[state][event] ?? state;
}
