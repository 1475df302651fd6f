import { randomUUID } from 'node:crypto';
import { people, seeds } from '../seeds.ts';

interface Entity {
  id: string;
  createdAt: string;
  updatedAt: string;
}

export interface UserRecord extends Entity {
  /** Person id of the workplace; absent for the agent's app user. */
  personId?: string;
  name: string;
  displayName: string;
  email: string;
  admin: boolean;
  guest: boolean;
  app: boolean;
}

export interface StateRecord extends Entity {
  name: string;
  type: 'backlog' | 'unstarted' | 'started' | 'completed' | 'canceled';
  position: number;
  color: string;
}

export interface LabelRecord extends Entity {
  name: string;
  color: string;
}

export interface IssueRecord extends Entity {
  number: number;
  title: string;
  description: string | null;
  stateId: string;
  creatorId: string;
  assigneeId: string | null;
  delegateId: string | null;
  labelIds: string[];
  priority: number;
}

export interface CommentRecord extends Entity {
  issueId: string;
  parentId: string | null;
  userId: string;
  body: string;
  agentSessionId: string | null;
  editedAt: string | null;
}

export type SessionStatus =
  | 'pending'
  | 'active'
  | 'awaitingInput'
  | 'complete'
  | 'error'
  | 'stale'
  | 'stopping';

export interface SessionRecord extends Entity {
  issueId: string;
  commentId: string;
  creatorId: string;
  /** Of which app user; absent for the workplace's own. */
  appUserId?: string;
  status: SessionStatus;
  startedAt: string | null;
  endedAt: string | null;
  summary: string | null;
  plan: unknown;
  externalUrls: { label: string; url: string }[];
  /** Nothing was heard from the agent within 10 s of `created`; cleared by its first sign. */
  unresponsive: boolean;
}

export type ActivityContent = {
  type: 'thought' | 'action' | 'elicitation' | 'response' | 'error' | 'prompt';
} & Record<string, unknown>;

export interface ActivityRecord extends Entity {
  sessionId: string;
  userId: string;
  content: ActivityContent;
  ephemeral: boolean;
  signal: string | null;
  signalMetadata: unknown;
  sourceCommentId: string | null;
}

/** All that the Linear stand-in holds; plain data, saved as it is. */
export interface LinearRecords {
  organization: Entity & { name: string; urlKey: string };
  oauthClientId: string;
  webhookId: string;
  team: Entity & { key: string; name: string; private?: boolean };
  users: UserRecord[];
  states: StateRecord[];
  labels: LabelRecord[];
  issues: IssueRecord[];
  comments: CommentRecord[];
  sessions: SessionRecord[];
  activities: ActivityRecord[];
  lastSyncId: number;
}

/** An organization with one team, the people of the workplace, and the agent's app user. */
export function firstRecords(agentName: string, createdAt: string): LinearRecords {
  const entity = (): Entity => ({ id: randomUUID(), createdAt, updatedAt: createdAt });
  const state = (name: string, type: StateRecord['type'], position: number, color: string): StateRecord => ({
    ...entity(),
    name,
    type,
    position,
    color,
  });
  const persons = people
    .filter(({ standing }) => standing !== 'external')
    .map(
      ({ id, name, handle, email, standing }): UserRecord => ({
        ...entity(),
        personId: id,
        name,
        displayName: handle,
        email,
        admin: standing === 'owner',
        guest: standing === 'guest',
        app: false,
      }),
    );
  const agent: UserRecord = {
    ...entity(),
    name: agentName,
    displayName: agentName.toLowerCase(),
    email: `${randomUUID()}@oauthapp.linear.app`,
    admin: false,
    guest: false,
    app: true,
  };
  return {
    organization: { ...entity(), name: seeds.company, urlKey: seeds.companySlug },
    oauthClientId: randomUUID(),
    webhookId: randomUUID(),
    team: { ...entity(), ...seeds.linearTeam },
    users: [...persons, agent],
    states: [
      state('Backlog', 'backlog', 0, '#bec2c8'),
      state('Todo', 'unstarted', 1, '#e2e2e2'),
      state('In Progress', 'started', 2, '#f2c94c'),
      state('In Review', 'started', 3, '#0f783c'),
      state('Done', 'completed', 4, '#5e6ad2'),
      state('Canceled', 'canceled', 5, '#95a2b3'),
    ],
    labels: [
      { ...entity(), name: 'Bug', color: '#eb5757' },
      { ...entity(), name: 'Feature', color: '#bb87fc' },
    ],
    issues: [],
    comments: [],
    sessions: [],
    activities: [],
    lastSyncId: 1,
  };
}

/** The app user that a session is with. */
export function sessionAgentOf(records: LinearRecords, session: SessionRecord): UserRecord {
  return records.users.find(({ id }) => id === session.appUserId) ?? appUserOf(records);
}

/** The app user of the workplace's own agent. */
export function appUserOf(records: LinearRecords): UserRecord {
  const user = records.users.find(({ app }) => app);
  if (!user) throw new Error('The Linear stand-in has no app user.');
  return user;
}

/** The identifier that people use, as `ENG-12`. */
export function identifierOf(records: LinearRecords, issue: IssueRecord): string {
  return `${records.team.key}-${issue.number}`;
}

/** A session's activities, oldest first, without ephemeral ones that a later activity replaced. */
export function activitiesOf(records: LinearRecords, sessionId: string): ActivityRecord[] {
  const all = records.activities.filter((activity) => activity.sessionId === sessionId);
  return all.filter((activity, index) => !activity.ephemeral || index === all.length - 1);
}
