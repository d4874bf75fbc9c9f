// Makes src/generated from the documents in schemas/: the types of HTTP and of the sockets, and a small table of which
// operations take an idempotency key or `min_revision`. What it makes is not committed.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const here = new URL(".", import.meta.url);
const schemas = new URL("../../schemas/", here);
const read = async (name) => JSON.parse(await readFile(new URL(name, schemas), "utf8"));
const http = await read("openapi.json");
const sockets = await read("asyncapi.json");

/** The messages of the AsyncAPI document as one OpenAPI document of schemas, which the same generator takes. */
function gatewayDocument(document) {
  const object = (properties) => ({ type: "object", properties, required: Object.keys(properties) });
  const target = (reference, of) => of[reference.$ref.split("/").at(-1)];
  const fields = (reference) => {
    const { payload } = target(reference, document.components.messages);
    return target(payload, document.components.schemas).properties;
  };
  const [pushes, requests, answers] = [{}, {}, {}];
  for (const operation of Object.values(document.operations)) {
    const { type, data } = fields(operation.messages[0]);
    if (operation.action === "send") {
      pushes[type.const] = data;
      continue;
    }
    // The client itself says who it is.
    if (type.const === "auth") continue;
    requests[type.const] = data;
    answers[type.const] = operation.reply.messages.map(fields).find((it) => it.data).data;
  }
  const named = { Pushes: object(pushes), Requests: object(requests), Answers: object(answers) };
  const schemas = { ...document.components.schemas, ...named };
  // Each frame is known by its `type`, which TypeScript sees by itself.
  for (const union of ["ClientFrame", "ServerFrame"]) schemas[union] = { oneOf: schemas[union].oneOf };
  return { openapi: "3.1.0", info: document.info, paths: {}, components: { schemas } };
}

/** Which operations take what the client fills in by itself, and the codes of all problems. */
function operations(document, gateway) {
  const [keyed, awaited, codes] = [[], [], new Set()];
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const takes = (name) => operation.parameters?.some((it) => it.name === name);
      if (takes("Idempotency-Key")) keyed.push(`${method} ${path}`);
      if (takes("min_revision")) awaited.push(`${method} ${path}`);
      for (const response of Object.values(operation.responses)) {
        const shared = response.$ref && document.components.responses[response.$ref.split("/").at(-1)];
        for (const code of (shared ?? response)["x-problem-codes"] ?? []) codes.add(code);
      }
    }
  }
  const schemas = gateway.components.schemas;
  const resolve = (schema) => (schema.$ref ? schemas[schema.$ref.split("/").at(-1)] : schema);
  const requests = Object.entries(schemas.Requests.properties);
  const keyedRequests = requests.filter(([, data]) => resolve(data).properties?.key).map(([type]) => type);
  const list = (doc, name, items) =>
    `/** ${doc} */\nexport const ${name}: ReadonlySet<string> = new Set(${JSON.stringify(items, null, 2)});\n`;
  const words = [...codes].sort().map((code) => `\n  | "${code}"`);
  return [
    `/** What the server may refuse a request with. */\nexport type ServerCode =${words.join("")};\n`,
    list("Operations that take an `Idempotency-Key`.", "keyed", keyed),
    list("Operations that take `min_revision`.", "awaited", awaited),
    list("Socket requests that take a `key`.", "keyedRequests", keyedRequests),
  ].join("\n");
}

const gateway = gatewayDocument(sockets);
const out = new URL("src/generated/", here);
await mkdir(out, { recursive: true });
const head = "// Made by generate.mjs from schemas/. Do not edit.\n\n";
const types = async (document) => head + astToString(await openapiTS(document));
await writeFile(new URL("http.ts", out), await types(http));
await writeFile(new URL("gateway.ts", out), await types(gateway));
await writeFile(new URL("operations.ts", out), head + operations(http, gateway));
