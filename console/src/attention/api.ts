import { callServer } from '../api.ts';

/** Something that an admin was told. */
export interface Notice {
  id: string;
  kind: string;
  publication_id: string | null;
  text: string;
  created_at: string;
  resolved_at: string | null;
}

/** What is open now, newest first. Throws `ApiError`, as all of these do. */
export const listOpenNotices = () =>
  callServer<{ data: Notice[] }>('GET', '/v1/notices?state=open&limit=20').then(({ data }) => data);

/** How many requests wait for somebody's word; 100 stands for that many or more. */
export const countWaitingApprovals = () =>
  callServer<{ data: unknown[] }>('GET', '/v1/approvals?state=waiting&limit=100').then(
    ({ data }) => data.length,
  );
