import { type Refusal, refuse } from './refusal.ts';

export type ModelName = 'anthropic' | 'openai' | 'google';

/** The vendor hosts of the models, under the names that they have inside. */
export const modelHosts: ReadonlyMap<string, ModelName> = new Map([
  ['api.anthropic.com', 'anthropic'],
  ['api.openai.com', 'openai'],
  ['generativelanguage.googleapis.com', 'google'],
]);

/** A model request's JSON body may not be larger. */
export const maxModelBodyBytes = 32 * 1024 * 1024;

/** The wire that a body is written in; `none` for requests without one. */
export type ModelWire = 'none' | 'messages' | 'chat' | 'responses' | 'gemini';

const endpoints: Readonly<Record<ModelName, Readonly<Record<string, ModelWire>>>> = {
  anthropic: {
    'POST /v1/messages': 'messages',
    'POST /v1/messages/count_tokens': 'messages',
    'GET /v1/models': 'none',
  },
  openai: {
    'POST /v1/chat/completions': 'chat',
    'POST /v1/responses': 'responses',
    'GET /v1/models': 'none',
  },
  google: {
    'POST a model: generateContent': 'gemini',
    'POST a model: streamGenerateContent': 'gemini',
    'POST a model: countTokens': 'gemini',
  },
};

/**
 * The wire of an endpoint to which the model credential applies, and whether what it answers `counts` as use of the
 * model; a refusal for every other path of a model host.
 */
export function modelEndpoint(
  model: ModelName,
  method: string,
  path: string,
): { ok: true; wire: ModelWire; counts: boolean } | { ok: false; refusal: Refusal } {
  const known = endpoints[model];
  // Google's paths name the model.
  const named = model === 'google' ? path.replace(/^\/v1beta\/models\/[\w.-]+:/, 'a model: ') : path;
  const key = `${method} ${named}`;
  const wire = Object.hasOwn(known, key) ? known[key] : undefined;
  if (wire) return { ok: true, wire, counts: wire !== 'none' && !/count_?tokens$/i.test(path) };
  return {
    ok: false,
    refusal: refuse(
      'model.endpoint',
      `${method} ${path} is not open here. The model key is for ${Object.keys(known).join(', ')} only.`,
    ),
  };
}

/** The header that carries a model key. */
export function modelHeader(model: ModelName, key: string): readonly [name: string, value: string] {
  if (model === 'anthropic') return ['x-api-key', key];
  return model === 'google' ? ['x-goog-api-key', key] : ['authorization', `Bearer ${key}`];
}

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isGiven = (value: unknown): boolean =>
  value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0);

/** Tools that the agent program runs itself, by the `type` that names them. */
const ownTools: Readonly<Record<Exclude<ModelWire, 'none'>, RegExp>> = {
  messages: /^(?:custom|(?:bash|text_editor|computer|memory)_\d{8})$/,
  chat: /^(?:function|custom)$/,
  responses: /^(?:function|custom|local_shell|apply_patch)$/,
  gemini: /^$/,
};

/** Fields by which the vendor would fetch, run or add something on the agent's behalf. */
const refusedFields: Readonly<Record<Exclude<ModelWire, 'none'>, readonly string[]>> = {
  messages: ['mcp_servers', 'container'],
  chat: ['web_search_options'],
  responses: ['prompt'],
  gemini: ['cachedContent', 'cached_content'],
};

/** What ends every refusal here, for who can change it. */
const hint = 'An admin can allow it with an environment whose networking is `unrestricted`.';

/**
 * Refuses what would make the model's vendor a door of its own: tools that run at the vendor, MCP servers that it
 * would connect to, URLs that it would fetch. Undefined when there is nothing of the kind, or where the session
 * `mayReachOut` anywhere by itself.
 */
export function checkModelBody(
  wire: Exclude<ModelWire, 'none'>,
  body: unknown,
  mayReachOut = false,
): Refusal | undefined {
  if (!isObject(body)) return refuse('model.body', 'The body of a model request must be a JSON object.', 400);
  if (mayReachOut) return undefined;
  for (const field of refusedFields[wire]) {
    if (isGiven(body[field])) {
      return refuse(
        `model.${field}`,
        `\`${field}\` in a model request is not allowed: it reaches out at the vendor. ${hint}`,
      );
    }
  }
  const tools = body.tools;
  if (isGiven(tools) && !Array.isArray(tools)) return refuse('model.body', '`tools` must be a list.', 400);
  for (const tool of Array.isArray(tools) ? tools : []) {
    const foreign = foreignTool(wire, tool);
    if (foreign === undefined) continue;
    return refuse(
      'model.server_tools',
      `The tool type ${foreign} runs at the model's vendor and is not allowed. Tools that the agent runs itself are. ${hint}`,
    );
  }
  const { tools: _, ...rest } = body;
  return holdsUrlSource(rest)
    ? refuse(
        'model.url_source',
        `URL sources in a model request are not allowed. Send the content itself. ${hint}`,
      )
    : undefined;
}

/** What a tool is that the agent program does not run itself, as a text to quote; undefined for its own. */
function foreignTool(wire: Exclude<ModelWire, 'none'>, tool: unknown): string | undefined {
  if (!isObject(tool)) return quoted(tool);
  if (wire === 'gemini') {
    const key = Object.keys(tool).find((name) => !/^function_?declarations$/i.test(name));
    return key === undefined ? undefined : quoted(key);
  }
  const { type } = tool;
  if (type === undefined || type === null) return wire === 'messages' ? undefined : quoted(type);
  if (typeof type === 'string' && ownTools[wire].test(type)) return undefined;
  // The tools of one MCP server of the agent's own, as Codex sends them: a group of functions, and nothing else in it.
  if (wire === 'responses' && type === 'namespace' && Array.isArray(tool.tools)) {
    const isGroup = Object.keys(tool).every((key) => ['type', 'name', 'description', 'tools'].includes(key));
    const inner = tool.tools.map((each) =>
      isObject(each) && each.type === 'namespace' ? quoted(each.type) : foreignTool(wire, each),
    );
    return isGroup ? inner.find((found) => found !== undefined) : quoted(type);
  }
  return quoted(type);
}

const quoted = (value: unknown): string => JSON.stringify(value)?.slice(0, 80) ?? 'undefined';

/** What a model said a tool was called with is data, whatever it looks like. */
const callTypes = new Set([
  'tool_use',
  'server_tool_use',
  'mcp_tool_use',
  'function_call',
  'custom_tool_call',
]);
const isWebUrl = (value: unknown): boolean => typeof value === 'string' && !/^data:/i.test(value.trim());

function holdsUrlSource(root: unknown): boolean {
  const waiting: unknown[] = [root];
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (Array.isArray(value)) {
      for (const item of value) waiting.push(item);
    } else if (isObject(value)) {
      if (namesUrl(value)) return true;
      const isCall = typeof value.type === 'string' && callTypes.has(value.type);
      for (const [key, child] of Object.entries(value)) {
        if (!(isCall && (key === 'input' || key === 'arguments'))) waiting.push(child);
      }
    }
  }
  return false;
}

function namesUrl(value: Json): boolean {
  // Anthropic: `source: {type: "url", url}` of images and documents.
  if (isObject(value.source) && value.source.type === 'url') return true;
  // OpenAI chat: `{type: "image_url", image_url: {url}}`; responses: `image_url: "…"`, `file_url: "…"`.
  if (value.type === 'image_url' && isObject(value.image_url)) return isWebUrl(value.image_url.url);
  if (value.type === 'input_image' && isGiven(value.image_url)) return isWebUrl(value.image_url);
  // Google: `fileData: {fileUri}`, which it reads in either spelling.
  const file = value.fileData ?? value.file_data;
  if (isObject(file) && isGiven(file.fileUri ?? file.file_uri)) return true;
  return value.type === 'input_file' && isGiven(value.file_url);
}
