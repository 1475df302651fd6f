import type { Notification, NotificationResult } from './notifications.ts';
import type { EgressHealth, EgressStart, ListenerRole, RemoteProxyAccess } from './protocol.ts';

/** What the worker asks of the egress process over IPC. `add_listener` comes with the listener's handle. */
export type EgressRequest =
  | { type: 'open_session'; organizationId: string; sessionId: string; sealedAuthority?: string }
  | { type: 'add_listener'; sessionId: string; role: ListenerRole }
  | { type: 'close_session'; sessionId: string }
  | { type: 'remote_proxy'; sessionId: string }
  | { type: 'sealing_key'; organizationId: string }
  | { type: 'check_text'; organizationId: string; text: string }
  | { type: 'notify'; notification: Notification }
  | { type: 'health' };

export type ToEgress =
  | EgressStart
  | (EgressRequest & { id: number })
  | { type: 'set_turn'; sessionId: string; turnId: string | null }
  | { type: 'stop' };

/** What each request is answered with. */
export interface EgressAnswers {
  open_session: { caCertificatePem: string; sealedAuthority: string; environment: Record<string, string> };
  add_listener: null;
  close_session: null;
  remote_proxy: RemoteProxyAccess;
  sealing_key: Record<string, unknown>;
  check_text: { ok: true } | { ok: false; reason: string };
  notify: NotificationResult;
  health: EgressHealth;
}

export type FromEgress =
  | { type: 'ready' }
  | { type: 'answer'; id: number; ok: true; value: unknown }
  | { type: 'answer'; id: number; ok: false; message: string };
