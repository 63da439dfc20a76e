// Reads configurations as Continue does, with its own published parser, and tells what that makes of them.
//
// Standard input: a JSON array of {"main": path of a config.yaml, "blocks": [paths below models/]}.
// Standard output: a JSON array in the same order; each is
//   {"error": text, or null,
//    "messages": what validateConfigYaml says of the main file,
//    "models": the models after unrolling, in order,
//    "roles": {role: [names]},
//    "stripped": ["config.yaml models.0.numCtx": what the published schema drops in silence, by file],
//    "refused": ["config.yaml models.0.numCtx: unrecognized_keys": what a strict schema refuses]}
//
// The package (1.42.0, 2026-03-26) is older than the last commit of Continue (d0a3c0b626, 2026-06-18): it does not know
// keepAlive (b85c82103e), contextLength of a model (d6259a7304) and useResponsesApi (15ea93dae0). The strict schema
// does, so that it is the last one, less its silence.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import {
  RegistryClient,
  configYamlSchema,
  parseConfigYaml,
  unrollAssistant,
  validateConfigYaml,
} from "@continuedev/config-yaml";
import * as YAML from "yaml";
import { ZodIntersection, ZodObject, ZodUnion, z } from "zod";

// The roles of a model that names none (core/config/yaml/loadYaml.ts).
const DEFAULT_ROLES = ["chat", "summarize", "apply", "edit"];

let strict = false;
let stripped = new Set();

// Each half of an intersection sees the keys of the other half as well: unknown to it, and not dropped.
const halves = new WeakSet();
const parseIntersection = ZodIntersection.prototype._parse;
ZodIntersection.prototype._parse = function (input) {
  for (const half of [this._def.left, this._def.right]) {
    for (const each of half instanceof ZodUnion ? half._def.options : [half]) {
      halves.add(each);
    }
  }
  return parseIntersection.call(this, input);
};

// What the last commit has beside the package's keys, by a key that only this object has.
function newerKeys(shape) {
  if ("reasoningBudgetTokens" in shape) {
    return { keepAlive: z.number().optional() };
  }
  if ("useLegacyCompletionsEndpoint" in shape) {
    return { contextLength: z.number().optional(), useResponsesApi: z.boolean().optional() };
  }
  return {};
}

const published = new WeakMap();
const newest = new WeakMap();
const cached = ZodObject.prototype._getCached;
ZodObject.prototype._getCached = function () {
  if (!published.has(this)) {
    const { shape } = cached.call(this);
    published.set(this, { shape, keys: Object.keys(shape) });
    const more = { ...shape, ...newerKeys(shape) };
    newest.set(this, { shape: more, keys: Object.keys(more) });
  }
  return (strict ? newest : published).get(this);
};

const parseObject = ZodObject.prototype._parse;
ZodObject.prototype._parse = function (input) {
  if (this._def.unknownKeys === "passthrough" || halves.has(this)) {
    return parseObject.call(this, input);
  }
  this._def.unknownKeys = strict ? "strict" : "strip";
  const result = parseObject.call(this, input);
  // An alternative that does not fit drops nothing: another one is taken.
  if (!strict && result.status === "valid") {
    const { keys } = this._getCached();
    for (const key of Object.keys(input.data)) {
      if (!keys.includes(key)) {
        stripped.add([...input.path, key].join("."));
      }
    }
  }
  return result;
};

// Secrets are the user's: every one has the value it has in the tests.
const platformClient = {
  resolveFQSNs: async (names) =>
    names.map((fqsn) => ({ found: true, fqsn, value: `secret-${fqsn.secretName}` })),
};

// Every issue with its path; a union's only says "Invalid input", and why is inside.
function reasons(issues) {
  return issues.flatMap((issue) =>
    issue.code === "invalid_union"
      ? issue.unionErrors.flatMap((each) => reasons(each.issues))
      : (issue.keys ?? [""]).map((key) => `${[...issue.path, key].filter((part) => part !== "").join(".")}: ${issue.code}`),
  );
}

const fileOf = (path) => ({ uriType: "file", fileUri: pathToFileURL(path).href });

async function read({ main, blocks }) {
  const answer = { error: null, messages: [], models: [], roles: {}, stripped: [], refused: [] };
  try {
    strict = false;
    for (const path of [main, ...blocks]) {
      stripped = new Set();
      const config = parseConfigYaml(readFileSync(path, "utf8"));
      answer.stripped.push(...[...stripped].map((each) => `${basename(path)} ${each}`));
      answer.messages.push(...validateConfigYaml(config).map((each) => each.message));
    }
    const unrolled = await unrollAssistant(fileOf(main), new RegistryClient(), {
      renderSecrets: true,
      platformClient,
      orgScopeId: null,
      currentUserSlug: "",
      onPremProxyUrl: null,
      injectBlocks: blocks.map(fileOf),
    });
    if (unrolled.errors?.length > 0) {
      throw new Error(unrolled.errors.map((each) => each.message).join("; "));
    }
    answer.models = (unrolled.config?.models ?? []).filter((model) => model !== null);
    for (const model of answer.models) {
      for (const role of model.roles ?? DEFAULT_ROLES) {
        (answer.roles[role] ??= []).push(model.name);
      }
    }
  } catch (error) {
    answer.error = error.message;
    return answer;
  }
  strict = true;
  for (const path of [main, ...blocks]) {
    const { error } = configYamlSchema.safeParse(YAML.parse(readFileSync(path, "utf8")));
    const found = new Set(reasons(error?.issues ?? []));
    answer.refused.push(...[...found].map((each) => `${basename(path)} ${each}`));
  }
  return answer;
}

const answers = [];
for (const each of JSON.parse(readFileSync(0, "utf8"))) {
  answers.push(await read(each));
}
process.stdout.write(JSON.stringify(answers));
