import '../../src/vault/egress/metadata-polyfill.ts';
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

/** PEM of an upstream's key and certificate on P-256, and of the authority that signed it. */
export interface UpstreamCertificate {
  key: string;
  certificate: string;
  authority: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 24 * 60 * 60 * 1000;

/** A certificate for these names by an authority of its own, so that every peer can check what it speaks to. */
export async function issueCertificate(names: readonly string[]): Promise<UpstreamCertificate> {
  const [root, leaf] = await Promise.all([newKeys(), newKeys()]);
  const validity = { notBefore: new Date(Date.now() - dayMs), notAfter: new Date(Date.now() + dayMs) };
  const authority = await X509CertificateGenerator.createSelfSigned({
    ...validity,
    name: 'CN=Tagalong bench',
    keys: root,
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
    ],
  });
  const certificate = await X509CertificateGenerator.create({
    ...validity,
    subject: `CN=${names[0] ?? ''}`,
    issuer: authority.subject,
    publicKey: leaf.publicKey,
    signingKey: root.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value }))),
    ],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', leaf.privateKey)).toString('base64');
  return {
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
    certificate: certificate.toString('pem'),
    authority: authority.toString('pem'),
  };
}

async function newKeys(): Promise<CryptoKeyPair> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  if (!('privateKey' in keys)) throw new Error('WebCrypto made no key pair.');
  return keys;
}
