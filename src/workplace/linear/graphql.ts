import {
  execute,
  GraphQLError,
  type GraphQLFieldResolver,
  type GraphQLOutputType,
  getNamedType,
  getNullableType,
  isEnumType,
  isListType,
  isNonNullType,
  isObjectType,
  isScalarType,
  parse,
  validate,
} from 'graphql';
import { linearError } from './errors.ts';
import { linearSchema } from './schema.ts';

/** What the stand-in serves, by the name of the field of Query or Mutation. */
export type RootFields = Record<string, (given: Record<string, unknown>) => unknown>;

export interface GraphqlAnswer {
  status: number;
  body: { data?: unknown; errors?: unknown[] };
}

/** Answers one GraphQL request over Linear's whole schema. A root field that is not served is an error that says so. */
export async function answerGraphql(
  request: { query?: unknown; variables?: unknown; operationName?: unknown },
  roots: RootFields,
): Promise<GraphqlAnswer> {
  const schema = await linearSchema();
  if (typeof request.query !== 'string') return refused('The body must hold a query.');
  let document: ReturnType<typeof parse>;
  try {
    document = parse(request.query, { maxTokens: 10_000 });
  } catch (error) {
    return refused(error instanceof Error ? error.message : 'The query could not be read.');
  }
  const faults = validate(schema, document);
  if (faults.length > 0) return refused(...faults.map(({ message }) => message));
  const resolve: GraphQLFieldResolver<unknown, unknown> = (source, given, _context, info) => {
    if (info.parentType === schema.getQueryType() || info.parentType === schema.getMutationType()) {
      const root = roots[info.fieldName];
      if (!root)
        throw linearError('invalid_input', `The workplace's Linear does not serve ${info.fieldName}.`);
      return root(given);
    }
    const value = (source as Record<string, unknown>)[info.fieldName];
    const found = typeof value === 'function' ? value(given) : value;
    return found ?? emptyValue(info.returnType);
  };
  const result = await execute({
    schema,
    document,
    variableValues: (request.variables ?? {}) as Record<string, unknown>,
    ...(typeof request.operationName === 'string' ? { operationName: request.operationName } : {}),
    fieldResolver: resolve,
  });
  const errors = result.errors?.map((error) => error.toJSON());
  const status = Math.max(
    200,
    ...(result.errors ?? []).map(({ extensions }) => Number(extensions.statusCode ?? 400)),
  );
  return { status, body: { data: result.data, ...(errors ? { errors } : {}) } };
}

/**
 * What a field is that the stand-in keeps nothing of: null where the schema allows it, else the empty value of its type.
 */
export function emptyValue(type: GraphQLOutputType): unknown {
  if (!isNonNullType(type)) return null;
  const inner = getNullableType(type);
  if (isListType(inner)) return [];
  const named = getNamedType(inner);
  if (isEnumType(named)) return named.getValues()[0]?.value;
  if (isObjectType(named)) {
    return named.name.endsWith('Connection')
      ? { nodes: [], edges: [], pageInfo: { hasNextPage: false, hasPreviousPage: false } }
      : { __typename: named.name };
  }
  if (!isScalarType(named)) return null;
  if (named.name === 'Boolean') return false;
  if (named.name === 'Int' || named.name === 'Float') return 0;
  if (named.name === 'DateTime') return new Date(0).toISOString();
  return named.name.startsWith('JSON') ? {} : '';
}

function refused(...messages: string[]): GraphqlAnswer {
  const extensions = {
    type: 'graphql error',
    code: 'GRAPHQL_VALIDATION_FAILED',
    statusCode: 400,
    userError: true,
  };
  return {
    status: 400,
    body: { errors: messages.map((message) => new GraphQLError(message, { extensions }).toJSON()) },
  };
}
