import { createApiKey } from '../../src/gateway/access.ts';
import type { GatewayDeps } from '../../src/gateway/deps.ts';
import type { Database } from '../../src/store/connection.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { startTestGateway, type TestGateway } from './support.ts';

export interface RestSetUp {
  gateway: TestGateway;
  api: TestGateway['api'];
  database: Database;
  /** Another tenant, with rows of every kind. */
  other: Fixture;
  otherKey: string;
}

/** A gateway with the API open, beside a second organization that must never be seen. */
export async function setUpRest(overrides: Partial<GatewayDeps> = {}): Promise<RestSetUp> {
  const test = await createTestDatabase();
  const gateway = await startTestGateway(test, overrides);
  const other = await createFixture(test.database);
  const otherKey = await createApiKey(test.database, other.organizationId, 'other');
  return { gateway, api: gateway.api, database: test.database, other, otherKey };
}
