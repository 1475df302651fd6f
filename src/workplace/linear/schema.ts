import { readdir, readFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { buildSchema, type GraphQLSchema } from 'graphql';

/**
 * Linear's schema, read back out of the types that @linear/sdk ships: the package brings no SDL, but its declarations
 * name every object, input, enum, union and argument of the schema that its queries were generated from. So a query of
 * the SDK is judged by the SDK's own schema, whole. Takes about half a second, once per process.
 */
export function linearSchema(): Promise<GraphQLSchema> {
  loading ??= load();
  return loading;
}

let loading: Promise<GraphQLSchema> | undefined;

async function load(): Promise<GraphQLSchema> {
  const manifest = findPackageJSON('@linear/sdk', import.meta.url);
  if (!manifest) throw new Error('The package @linear/sdk is not installed. Run npm install.');
  const folder = join(dirname(manifest), 'dist');
  const file = (await readdir(folder)).find((name) => /^index-.+\.d\.mts$/.test(name));
  if (!file) throw new Error(`@linear/sdk has no declarations in ${folder}.`);
  return buildSchema(sdlFrom(await readFile(join(folder, file), 'utf8')), { assumeValid: true });
}

const builtinScalars = new Set(['ID', 'String', 'Boolean', 'Int', 'Float']);

/** SDL of everything that Query and Mutation lead to, from the declarations that graphql-codegen wrote. */
export function sdlFrom(declarations: string): string {
  const objects = new Map<string, { bases: string[]; body: string }>();
  for (const [, name, bases, body] of declarations.matchAll(
    /^type (\w+) = ((?:\w+ & )*)\{\n([\s\S]*?)^\};/gm,
  )) {
    if (!name || objects.has(name)) continue;
    objects.set(name, { bases: (bases ?? '').split(' & ').filter(Boolean), body: body ?? '' });
  }
  const unions = new Map<string, string[]>();
  for (const [, name, members] of declarations.matchAll(/^type (\w+) = (\w+(?: \| \w+)+);/gm)) {
    if (name && members) unions.set(name, members.split(' | '));
  }
  const enums = new Map<string, string[]>();
  for (const [, name, body] of declarations.matchAll(/^declare enum (\w+) \{\n([\s\S]*?)^\}/gm)) {
    if (name)
      enums.set(
        name,
        [...(body ?? '').matchAll(/= "(\w+)"/g)].map(([, value]) => value ?? ''),
      );
  }
  // graphql-codegen changes the case of some field names in the names of their arguments.
  const argumentNames = new Map(
    [...objects.keys()].filter((name) => name.endsWith('Args')).map((name) => [name.toLowerCase(), name]),
  );
  const interfaces = new Set([...objects.values()].flatMap(({ bases }) => bases));

  const written = new Map<string, string>();
  const waiting: { name: string; use: 'input' | 'output' }[] = [];

  const fieldsOf = (body: string, use: 'input' | 'output') =>
    [...body.matchAll(/^ {2}(\w+)\??: (.+);$/gm)].flatMap(([, field, type]) =>
      field && type && field !== '__typename' ? [{ field, type: graphqlType(type, use) }] : [],
    );
  const graphqlType = (type: string, use: 'input' | 'output'): string => {
    const maybe = /^(?:Input)?Maybe<(.+)>$/.exec(type)?.[1];
    if (maybe) return graphqlType(maybe, use).replace(/!$/, '');
    const list = /^Array<(.+)>$/.exec(type)?.[1];
    if (list) return `[${graphqlType(list, use)}]!`;
    const name = /^Scalars\["(\w+)"\]$/.exec(type)?.[1] ?? type;
    waiting.push({ name, use });
    return `${name}!`;
  };
  const argumentsOf = (parent: string, field: string): string => {
    const name = argumentNames.get(`${parent}${field}args`.toLowerCase());
    const body = name === undefined ? undefined : objects.get(name)?.body;
    if (!body) return '';
    return `(${fieldsOf(body, 'input')
      .map((argument) => `${argument.field}: ${argument.type}`)
      .join(', ')})`;
  };
  const write = (name: string, use: 'input' | 'output'): string => {
    const values = enums.get(name);
    if (values) return `enum ${name} { ${values.join(' ')} }`;
    const members = unions.get(name);
    if (members) {
      for (const member of members) waiting.push({ name: member, use });
      return `union ${name} = ${members.join(' | ')}`;
    }
    const object = objects.get(name);
    if (!object) return builtinScalars.has(name) ? '' : `scalar ${name}`;
    if (use === 'input') {
      const fields = fieldsOf(object.body, 'input').map(({ field, type }) => `${field}: ${type}`);
      return `input ${name} { ${fields.join(' ')} }`;
    }
    const fields = fieldsOf(object.body, 'output').map(
      ({ field, type }) => `${field}${argumentsOf(name, field)}: ${type}`,
    );
    for (const base of object.bases) waiting.push({ name: base, use });
    if (interfaces.has(name)) {
      for (const [other, { bases }] of objects) if (bases.includes(name)) waiting.push({ name: other, use });
    }
    const bases = object.bases.length > 0 ? ` implements ${object.bases.join(' & ')}` : '';
    return `${interfaces.has(name) ? 'interface' : 'type'} ${name}${bases} { ${fields.join(' ')} }`;
  };

  waiting.push({ name: 'Query', use: 'output' }, { name: 'Mutation', use: 'output' });
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    if (written.has(next.name)) continue;
    written.set(next.name, '');
    written.set(next.name, write(next.name, next.use));
  }
  return [...written.values()].filter(Boolean).join('\n');
}
