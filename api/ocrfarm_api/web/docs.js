// The interface's description for people, made of /openapi.json.

const $ = (selector) => document.querySelector(selector);

function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

let schemas = {};
const resolve = (schema) => (schema && schema.$ref ? schemas[schema.$ref.split("/").pop()] || {} : schema || {});

function kind(schema) {
  const found = resolve(schema);
  const either = found.anyOf || found.oneOf;
  if (either) return either.map(kind).filter((name) => name !== "null").join(" or ");
  if (found.enum) return found.enum.join(", ");
  if (found.type === "array") return `list of ${kind(found.items)}`;
  return found.format === "binary" ? "file" : found.type === "object" ? found.title || "object" : found.type || "any";
}

// `code` in backquotes, as the descriptions write it.
const prose = (text) => text.split("`").map((part, n) => (n % 2 ? element("code", "", part) : part));
const cell = (text) => element("td", "", ...prose(text));
const name = (text, required) => element("td", "", element("code", "", text), required ? " *" : "");

function table(rows) {
  const made = element("table");
  for (const cells of rows) made.append(element("tr", "", ...cells));
  return made;
}

const shown = (value) => value !== undefined && value !== null && value !== "" && typeof value !== "object";

function fields(schema, prefix = "") {
  const found = resolve(schema);
  return Object.entries(found.properties || {}).flatMap(([key, value]) => [
    [
      name(prefix + key, (found.required || []).includes(key)),
      cell(kind(value)),
      cell([value.description, shown(value.default) && `Default: ${value.default}.`].filter(Boolean).join(" ")),
    ],
    ...(value.properties ? fields(value, `${prefix}${key}.`) : []),
  ]);
}

function operation(path, method, told) {
  const [first, ...rest] = (told.description || told.summary || "").split("\n\n");
  const inside = element("div", "inside", element("p", "", ...prose(first)));
  for (const paragraph of rest) inside.append(element("p", "", ...prose(paragraph)));
  const parameters = (told.parameters || []).map((p) => [name(p.name, p.required), cell(`${p.in}, ${kind(p.schema)}`), cell(p.description || p.schema.description || "")]);
  if (parameters.length) inside.append(element("h3", "", "Parameters"), table(parameters));
  for (const [type, body] of Object.entries(told.requestBody?.content || {})) {
    inside.append(element("h3", "", `Body: ${type}`));
    const rows = fields(body.schema);
    inside.append(rows.length ? table(rows) : element("p", "quiet", body.schema.description || ""));
  }
  inside.append(element("h3", "", "Answers"));
  inside.append(table(Object.entries(told.responses).map(([status, answer]) => [name(status), cell(kind(Object.values(answer.content || {})[0]?.schema) || ""), cell(answer.description || "")])));
  const answered = Object.values(told.responses["202"]?.content || told.responses["200"]?.content || {})[0]?.schema;
  const rows = fields(answered);
  if (rows.length) inside.append(element("h3", "", kind(answered)), table(rows));
  const head = element("summary", "", element("span", `method ${method.toUpperCase()}`, method.toUpperCase()), element("code", "", path), element("span", "quiet", ...prose(first.split(". ")[0].replace(/\.$/, ""))));
  return element("details", "", head, inside);
}

const api = await (await fetch("/openapi.json")).json();
schemas = api.components?.schemas || {};
$("#about").textContent = `${api.info.summary} Version ${api.info.version}. Errors are application/problem+json with a stable code and a sentence that says what to do.`;
$("#start").textContent = [
  `curl -F file=@letter.pdf ${location.origin}/v1/jobs`,
  `curl '${location.origin}/v1/jobs/job_…?wait=60'`,
  `curl '${location.origin}/v1/jobs/job_…/result?format=txt'`,
].join("\n");
const groups = new Map();
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, told] of Object.entries(methods)) {
    const group = told.tags?.[0] || "other";
    if (!groups.has(group)) groups.set(group, element("section", "", element("h2", "", group)));
    groups.get(group).append(operation(path, method, told));
  }
}
$("#calls").append(...groups.values());
