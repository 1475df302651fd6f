import { callServer } from '../api.ts';
import type { Notice } from '../attention/api.ts';

/** An address that notices are sent to. */
export interface NotificationUrl {
  id: string;
  name: string;
  host: string;
  last_tried_at: string | null;
  last_status: number | null;
  last_error: string | null;
}

/** Newest first, those that are over included. Throws `ApiError`, as all of these do. */
export const listNotices = () =>
  callServer<{ data: Notice[] }>('GET', '/v1/notices?limit=50').then(({ data }) => data);

export const listUrls = () =>
  callServer<{ data: NotificationUrl[] }>('GET', '/v1/notification_urls').then(({ data }) => data);

/** The answer is the only time that the secret is seen. */
export const addUrl = (url: string, name: string) =>
  callServer<NotificationUrl & { signing_secret: string }>('POST', '/v1/notification_urls', {
    url,
    ...(name ? { name } : {}),
  });

const at = (id: string) => `/v1/notification_urls/${encodeURIComponent(id)}`;
export const tryUrl = (id: string) => callServer<unknown>('POST', `${at(id)}/test`, {});
export const removeUrl = (id: string) => callServer<unknown>('DELETE', at(id));
