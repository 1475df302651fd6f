import { eq, or } from 'drizzle-orm';
import type { Database } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { type CredentialKind, credentials, installations, publications } from '../store/schema.ts';
import { credentialBinding, openCredential } from './seal.ts';
import { TimedCache } from './timed-cache.ts';

/** A credential as the egress process uses it. */
export interface OpenCredential {
  organizationId: string;
  id: string;
  version: number;
  kind: CredentialKind;
  displayName: string;
  /** Never logged, never recorded. */
  secret: Readonly<Record<string, string>>;
  detail: Readonly<Record<string, unknown>>;
  publicationId: string;
  /** Null while the installation is not known yet. */
  installationId: string | null;
  /** The provider's id of the workspace, once known. */
  workspaceId: string | null;
  emulated: boolean;
}

/** `missing`: there is none for this installation; `unreadable`: it does not open; `unavailable`: not now. */
export class CredentialError extends Error {
  override name = 'CredentialError';
  readonly code: 'missing' | 'unreadable' | 'unavailable';
  constructor(code: CredentialError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** How long a replaced or removed credential may still be used. */
const ttlMs = 1_000;

/** Finds and opens the credential of an installation, or of a publication whose installation is not known yet. */
export class CredentialStore {
  readonly #database: Database;
  readonly #rootKey: Uint8Array;
  readonly #opened: TimedCache<OpenCredential>;

  constructor(database: Database, rootKey: Uint8Array, now: () => number = Date.now) {
    this.#database = database;
    this.#rootKey = rootKey;
    this.#opened = new TimedCache(ttlMs, 1_000, now);
  }

  /**
   * The credential of a principal, `inst_…` or `pub_…`. Rejects with a CredentialError.
   */
  async find(organizationId: string, principalId: string): Promise<OpenCredential> {
    try {
      return await this.#opened.get(`${organizationId} ${principalId}`, () =>
        this.#read(organizationId, principalId),
      );
    } catch (cause) {
      if (cause instanceof CredentialError) throw cause;
      throw new CredentialError('unavailable', 'Credentials cannot be read now. Try again.', { cause });
    }
  }

  async #read(organizationId: string, principalId: string): Promise<OpenCredential> {
    const isInstallation = principalId.startsWith('inst_');
    const row = await withOrganization(this.#database, organizationId, async (tx) => {
      const [installation] = isInstallation
        ? await tx
            .select({ publicationId: installations.publicationId, identity: installations.identity })
            .from(installations)
            .where(eq(installations.id, principalId))
        : [];
      const publicationId = isInstallation ? installation?.publicationId : principalId;
      if (!publicationId) return undefined;
      const found = await tx
        .select({ credential: credentials, emulated: publications.emulated })
        .from(credentials)
        .innerJoin(publications, eq(publications.id, publicationId))
        .where(
          isInstallation
            ? or(eq(credentials.installationId, principalId), eq(credentials.publicationId, publicationId))
            : eq(credentials.publicationId, publicationId),
        );
      // An installation's own credential says more than its publication's.
      const best =
        found.find(({ credential }) => credential.installationId === principalId) ??
        found.find(({ credential }) => credential.installationId === null) ??
        (isInstallation ? undefined : found[0]);
      return best && { ...best, publicationId, workspaceId: installation?.identity.workspaceId ?? null };
    });
    if (!row) {
      throw new CredentialError('missing', `There is no credential for ${principalId}. Publish it again.`);
    }
    const { credential, emulated, publicationId, workspaceId } = row;
    const { id, version, kind, displayName, detail } = credential;
    const secret = await this.#open(organizationId, id, credential.sealed);
    return {
      organizationId,
      id,
      version,
      kind,
      displayName,
      secret,
      detail,
      publicationId,
      installationId: isInstallation ? principalId : null,
      workspaceId,
      emulated,
    };
  }

  async #open(organizationId: string, id: string, sealed: string): Promise<Record<string, string>> {
    try {
      return await openCredential(this.#rootKey, credentialBinding(organizationId, id), sealed);
    } catch (cause) {
      throw new CredentialError(
        'unreadable',
        `The credential ${id} does not open: ${(cause as Error).message}`,
        { cause },
      );
    }
  }
}
