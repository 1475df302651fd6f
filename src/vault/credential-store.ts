import { eq, or } from 'drizzle-orm';
import type { Database } from '../store/connection.ts';
import { clientKinds } from '../store/credential-kinds.ts';
import { withOrganization } from '../store/organization.ts';
import { type CredentialKind, credentials, installations, publications } from '../store/schema.ts';
import { organizationPublicKey, type RootKeys, writingKey } from './keys.ts';
import { credentialBinding, openCredential, sealCredential } from './seal.ts';
import { TimedCache } from './timed-cache.ts';
import type { VaultCredential } from './vault-credential.ts';

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

/** What a request needs of a principal: its token, or the client secret by which codes become tokens. */
export type CredentialUse = 'token' | 'client';

/** How long a replaced or removed credential may still be used. */
export const credentialTtlMs = 1_000;
/** A version of a credential never changes; this bounds how long its value stays in memory unused. */
const vaultTtlMs = 60_000;
const usedEveryMs = 60_000;

/** Finds and opens the credential of an installation, or of a publication whose installation is not known yet. */
export class CredentialStore {
  readonly #database: Database;
  readonly #rootKeys: RootKeys;
  readonly #opened: TimedCache<OpenCredential>;
  readonly #vaultSecrets: TimedCache<Record<string, string>>;
  readonly #usedAt = new Map<string, number>();
  readonly #now: () => number;

  constructor(database: Database, rootKeys: RootKeys, now: () => number = Date.now) {
    this.#database = database;
    this.#rootKeys = rootKeys;
    this.#opened = new TimedCache(credentialTtlMs, 1_000, now);
    this.#vaultSecrets = new TimedCache(vaultTtlMs, 1_000, now);
    this.#now = now;
  }

  /**
   * The credential of a principal, `inst_…`, `pub_…`, or `cred_…` for just that one. Rejects with a CredentialError.
   */
  async find(
    organizationId: string,
    principalId: string,
    use: CredentialUse = 'token',
  ): Promise<OpenCredential> {
    try {
      return await this.#opened.get(`${organizationId} ${principalId} ${use}`, () =>
        this.#read(organizationId, principalId, use),
      );
    } catch (cause) {
      if (cause instanceof CredentialError) throw cause;
      throw new CredentialError('unavailable', 'Credentials cannot be read now. Try again.', { cause });
    }
  }

  /** Opens a credential of a vault; once for each of its versions. Rejects with a CredentialError. */
  open(organizationId: string, { id, version, sealed }: VaultCredential): Promise<Record<string, string>> {
    return this.#vaultSecrets.get(`${id} ${version}`, () => this.#open(organizationId, id, sealed));
  }

  /** Notes that a credential was used; written now and then, off the request's path. */
  used(organizationId: string, id: string): void {
    const now = this.#now();
    if (now - (this.#usedAt.get(id) ?? Number.NEGATIVE_INFINITY) < usedEveryMs) return;
    if (this.#usedAt.size > 10_000) this.#usedAt.clear();
    this.#usedAt.set(id, now);
    withOrganization(this.#database, organizationId, (tx) =>
      tx
        .update(credentials)
        .set({ lastUsedAt: new Date(now) })
        .where(eq(credentials.id, id)),
    ).catch(() => this.#usedAt.delete(id));
  }

  /** The same credential as it is stored now. Rejects with a CredentialError. */
  readAnew({ organizationId, id }: OpenCredential): Promise<OpenCredential> {
    return this.#read(organizationId, id, 'token');
  }

  /** Seals a refreshed secret of a credential. */
  seal({ organizationId, id }: OpenCredential, secret: Record<string, string>): Promise<string> {
    return sealCredential(
      organizationPublicKey(writingKey(this.#rootKeys), organizationId),
      credentialBinding(organizationId, id),
      secret,
    );
  }

  /** Whether a publication is an emulated one, for the calls that carry no credential. Rejects with a CredentialError. */
  async publication(organizationId: string, publicationId: string): Promise<{ emulated: boolean }> {
    const [row] = await withOrganization(this.#database, organizationId, (tx) =>
      tx
        .select({ emulated: publications.emulated })
        .from(publications)
        .where(eq(publications.id, publicationId)),
    );
    if (row) return row;
    throw new CredentialError('missing', `There is no publication ${publicationId}.`);
  }

  async #read(organizationId: string, principalId: string, use: CredentialUse): Promise<OpenCredential> {
    const isInstallation = principalId.startsWith('inst_');
    const isCredential = principalId.startsWith('cred_');
    const row = await withOrganization(this.#database, organizationId, async (tx) => {
      const [installation] = isInstallation
        ? await tx
            .select({ publicationId: installations.publicationId, identity: installations.identity })
            .from(installations)
            .where(eq(installations.id, principalId))
        : [];
      const [named] = isCredential
        ? await tx
            .select({ publicationId: credentials.publicationId })
            .from(credentials)
            .where(eq(credentials.id, principalId))
        : [];
      const owner = isInstallation ? installation?.publicationId : named?.publicationId;
      const publicationId = isInstallation || isCredential ? owner : principalId;
      if (!publicationId) return undefined;
      const all = await tx
        .select({ credential: credentials, emulated: publications.emulated })
        .from(credentials)
        .innerJoin(publications, eq(publications.id, publicationId))
        .where(
          isInstallation
            ? or(eq(credentials.installationId, principalId), eq(credentials.publicationId, publicationId))
            : eq(credentials.publicationId, publicationId),
        )
        .orderBy(credentials.id);
      const found = all.filter(
        ({ credential }) =>
          clientKinds.includes(credential.kind) === (use === 'client') &&
          (!isCredential || use === 'client' || credential.id === principalId),
      );
      // An installation's own credential says more than its publication's.
      const best =
        found.find(({ credential }) => credential.installationId === principalId) ??
        found.findLast(({ credential }) => credential.installationId === null) ??
        (isInstallation ? undefined : found.at(-1));
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
      return await openCredential(this.#rootKeys, credentialBinding(organizationId, id), sealed);
    } catch (cause) {
      throw new CredentialError(
        'unreadable',
        `The credential ${id} does not open: ${(cause as Error).message}`,
        { cause },
      );
    }
  }
}
