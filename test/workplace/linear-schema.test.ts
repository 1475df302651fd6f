import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { parse, validate } from 'graphql';
import { describe, expect, it } from 'vitest';
import { linearSchema, sdlFrom } from '../../src/workplace/linear/schema.ts';

describe("Linear's schema, read out of the SDK's declarations", () => {
  it('holds every query and mutation that the SDK can send', async () => {
    const schema = await linearSchema();
    const folder = dirname(findPackageJSON('@linear/sdk', import.meta.url) ?? '');
    const source = readFileSync(join(folder, 'dist', 'index.mjs'), 'utf8');
    const documents = [...source.matchAll(/const (\w+Document) = new TypedDocumentString\(`([\s\S]*?)`/g)];
    expect(documents.length).toBeGreaterThan(600);
    const faults = documents.flatMap(([, name, text]) =>
      validate(schema, parse(text ?? '')).map(({ message }) => `${name}: ${message}`),
    );
    expect(faults).toEqual([]);
  });

  it('refuses what the schema does not have', async () => {
    const schema = await linearSchema();
    const messages = (query: string) => validate(schema, parse(query)).map(({ message }) => message);
    expect(messages('{ issue(id: "1") { nonsense } }')).toHaveLength(1);
    expect(messages('{ issue { id } }')).toEqual([
      expect.stringContaining('"id" of type "String!" is required'),
    ]);
    expect(messages('mutation { commentCreate(input: { bodi: "x" }) { success } }')).toHaveLength(1);
    expect(messages('{ agentSession(id: "1") { status } }')).toEqual([]);
  });

  it('writes lists, nulls, arguments, unions, interfaces and enums as the declarations have them', () => {
    const sdl = sdlFrom(`
type Node = {
  id: Scalars["ID"];
};
type Query = {
  __typename?: "Query";
  thing: Maybe<Thing>;
};
type QueryThingArgs = {
  /** Which. */
  wanted?: InputMaybe<Array<ThingInput>>;
};
type ThingInput = {
  kind: Kind;
};
type Thing = Node & {
  __typename?: "Thing";
  id: Scalars["ID"];
  parts: Array<Maybe<Part>>;
};
type A = {
  __typename?: "A";
  at: Scalars["DateTime"];
};
type B = {
  __typename?: "B";
  kind: Kind;
};
type Part = A | B;
declare enum Kind {
  Big = "big",
}
type Mutation = {
  __typename?: "Mutation";
  act: Scalars["Boolean"];
};
`);
    expect(sdl.split('\n').sort()).toEqual(
      [
        'enum Kind { big }',
        'input ThingInput { kind: Kind! }',
        'interface Node { id: ID! }',
        'scalar DateTime',
        'type A { at: DateTime! }',
        'type B { kind: Kind! }',
        'type Mutation { act: Boolean! }',
        'type Query { thing(wanted: [ThingInput!]): Thing }',
        'type Thing implements Node { id: ID! parts: [Part]! }',
        'union Part = A | B',
      ].sort(),
    );
  });
});
