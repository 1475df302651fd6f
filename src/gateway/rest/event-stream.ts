import type { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import { withOrganization } from '../../store/organization.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { ApiError, errorBody } from '../errors.ts';
import type { EventFeed } from '../event-feed.ts';
import { SessionTail } from '../session-tail.ts';
import { requireSession, showEvent } from './sessions.ts';

export interface EventStreamOptions {
  feed: EventFeed;
  /** Ends all streams when the gateway closes. */
  closing: AbortSignal;
  /** Between two looks when nothing was notified. */
  pollMs?: number;
  heartbeatMs?: number;
  maxStreams?: number;
}

/**
 * `GET /v1/sessions/{id}/events/stream`: server-sent events of what is appended from now on, each message with an
 * `event:` line, since the SDK's parser skips those without. There is no resuming: after a reconnect callers list the
 * log and drop what they know by id.
 */
export function eventStreamRoutes(
  app: Hono<GatewayEnv>,
  { database, clock, logger }: GatewayDeps,
  options: EventStreamOptions,
): void {
  const { feed, closing, pollMs = 3_000, heartbeatMs = 15_000, maxStreams = 1_000 } = options;
  let open = 0;

  app.get('/v1/sessions/:id/events/stream', async (c) => {
    const { organizationId } = c.var.caller;
    const sessionId = c.req.param('id');
    const { requestId } = c.var;
    await withOrganization(database, organizationId, (tx) => requireSession(tx, sessionId));
    if (open >= maxStreams) throw new ApiError('unavailable_error', 'Too many streams are open. Try again.');
    const tail = new SessionTail(database, organizationId, sessionId, clock);
    const bell = new Bell();
    // Before the first look, so that nothing falls between the two.
    const unsubscribe = feed.subscribe(sessionId, () => bell.ring());
    try {
      await tail.skipToEnd();
    } catch (error) {
      unsubscribe();
      throw error;
    }
    open++;
    c.header('cache-control', 'no-store');
    c.header('x-accel-buffering', 'no');
    return streamSSE(c, async (stream) => {
      const onClosing = () => bell.ring();
      closing.addEventListener('abort', onClosing, { once: true });
      stream.onAbort(() => bell.ring());
      let lastSentAt = performance.now();
      try {
        // Says at once that the stream is open: what is appended from here on will be on it.
        await stream.writeSSE({ event: 'ping', data: '{"type":"ping"}' });
        while (!stream.aborted && !closing.aborted) {
          for (const row of await tail.next()) {
            await stream.writeSSE({ event: row.type, data: JSON.stringify(showEvent(row)) });
            lastSentAt = performance.now();
          }
          if (performance.now() - lastSentAt >= heartbeatMs) {
            await stream.writeSSE({ event: 'ping', data: '{"type":"ping"}' });
            lastSentAt = performance.now();
          }
          await bell.wait(pollMs);
        }
      } catch (error) {
        logger.warn({ sessionId, err: error }, 'an event stream ended');
        const body = errorBody(
          'api_error',
          'The stream ended; open it again and list what came meanwhile.',
          requestId,
        );
        await stream.writeSSE({ event: 'error', data: JSON.stringify(body) });
      } finally {
        open--;
        unsubscribe();
        closing.removeEventListener('abort', onClosing);
      }
    });
  });
}

/** Wakes one waiter; a ring while nobody waits is kept for the next. */
class Bell {
  #rung = false;
  #waiter: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#waiter?.();
  }

  async wait(timeoutMs: number): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.#waiter = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#rung = false;
    this.#waiter = undefined;
  }
}
