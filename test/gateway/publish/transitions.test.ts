import { describe, expect, it } from 'vitest';
import { nextPublicationState, type PublicationEvent } from '../../../src/store/publication-states.ts';
import type { PublicationState } from '../../../src/store/schema.ts';

const states: PublicationState[] = [
  'pending_setup',
  'credentials_filled',
  'awaiting_install',
  'live',
  'needs_reauth',
  'suspended',
  'unpublished',
];
const events: PublicationEvent[] = [
  'credentials_filled',
  'install_started',
  'installed',
  'revoked',
  'suspended',
  'unsuspended',
  'unpublished',
];
const walk = (...steps: PublicationEvent[]) => steps.reduce(nextPublicationState, 'pending_setup');

describe('the states of a publication', () => {
  it('lead from nothing to live, and back to it after each fault', () => {
    const live = ['credentials_filled', 'install_started', 'installed'] as const;
    expect(walk(...live)).toBe('live');
    expect(walk(...live, 'revoked')).toBe('needs_reauth');
    expect(walk(...live, 'revoked', 'install_started', 'installed')).toBe('live');
    expect(walk(...live, 'suspended')).toBe('suspended');
    expect(walk(...live, 'suspended', 'unsuspended')).toBe('live');
  });

  it('are the same after an event that comes twice', () => {
    for (const state of states) {
      for (const event of events) {
        const once = nextPublicationState(state, event);
        expect([state, event, nextPublicationState(once, event)]).toEqual([state, event, once]);
      }
    }
  });

  it('are never live without an installation, and never leave the end', () => {
    for (const event of events) {
      expect(nextPublicationState('pending_setup', event)).not.toBe('live');
      expect(nextPublicationState('unpublished', event)).toBe('unpublished');
    }
    for (const state of states) expect(nextPublicationState(state, 'unpublished')).toBe('unpublished');
  });

  it('do not go down when somebody starts to install a live one again', () => {
    expect(nextPublicationState('live', 'install_started')).toBe('live');
    expect(nextPublicationState('live', 'credentials_filled')).toBe('live');
  });
});
