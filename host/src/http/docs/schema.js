// JSON Schemas: an example of one, and one as a list that people read.

import { el, prose } from "./dom.js";

/** A deeper look is nobody's: types may refer to themselves. */
const DEPTH_MAX = 8;

/** The description's part that a reference names. */
export function resolve(description, part) {
  let found = part;
  for (let hops = 0; found?.$ref && hops < DEPTH_MAX; hops++) {
    const { $ref, ...beside } = found;
    const path = $ref.replace(/^#\//, "").split("/");
    const target = path.reduce((at, key) => at?.[decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~")], description);
    found = { ...target, ...beside };
  }
  return found ?? {};
}

/** The name of a referenced schema, without its module's. */
export function nameOf(schema) {
  return schema?.$ref?.split("/").pop().split(".").pop();
}

const TEXTS = {
  "date-time": "2026-01-31T12:00:00Z",
  date: "2026-01-31",
  time: "12:00:00Z",
  email: "someone@example.org",
  uri: "https://example.org/",
  uuid: "018bcfe5-6800-7000-8000-000000000000",
};

function typeOf(schema) {
  const types = [schema.type ?? []].flat();
  return types.find((type) => type !== "null") ?? types[0];
}

/** A value that the schema allows, as far as a guess goes. */
export function example(description, part, depth = 0) {
  const schema = resolve(description, part);
  if (schema.examples?.length) return schema.examples[0];
  if ("const" in schema) return schema.const;
  if ("default" in schema) return schema.default;
  if (schema.enum) return schema.enum[0];
  if (depth > DEPTH_MAX) return null;
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return example(description, choices[0], depth + 1);
  if (schema.allOf) {
    return Object.assign({}, ...schema.allOf.map((one) => example(description, one, depth + 1)));
  }
  switch (typeOf(schema) ?? (schema.properties ? "object" : undefined)) {
    case "object": {
      const required = schema.required ?? [];
      const all = Object.entries(schema.properties ?? {});
      const shown = all.filter(([name]) => required.includes(name));
      const members = shown.length ? shown : all;
      return Object.fromEntries(members.map(([name, one]) => [name, example(description, one, depth + 1)]));
    }
    case "array":
      return (schema.prefixItems ?? (schema.items ? [schema.items] : [])).map((one) => example(description, one, depth + 1));
    case "integer":
    case "number":
      return Math.max(schema.minimum ?? 1, Math.min(1, schema.maximum ?? 1));
    case "boolean":
      return true;
    case "string":
      return TEXTS[schema.format] ?? "text".padEnd(schema.minLength ?? 0, "x").slice(0, schema.maxLength ?? 9);
    default:
      return null;
  }
}

/** What a value is, in a few words. */
export function inWords(description, part) {
  const schema = resolve(description, part);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return [...new Set(choices.map((one) => inWords(description, one)))].join(" | ");
  const types = [schema.type ?? "anything"].flat();
  const words = types.map((type) => {
    if (type === "array") return `list of ${schema.items ? inWords(description, schema.items) : "anything"}`;
    if (type === "object") return nameOf(part) ?? "object";
    return type === "string" && schema.format ? schema.format : type;
  });
  return words.join(" or ");
}

function limits(schema) {
  const said = [];
  const between = (low, high, unit) => {
    if (low != null && high != null) said.push(`${low} to ${high}${unit}`);
    else if (high != null) said.push(`at most ${high}${unit}`);
    else if (low != null) said.push(`at least ${low}${unit}`);
  };
  between(schema.minLength || undefined, schema.maxLength, " characters");
  const isWide = /^u?int/.test(schema.format ?? "") && Math.abs(schema.maximum) > 65535;
  if (!isWide) between(schema.minimum, schema.maximum, "");
  else if (schema.minimum >= 0) said.push(`at least ${schema.minimum}`);
  between(schema.minItems, schema.maxItems, " items");
  if (schema.default != null) said.push(`default ${JSON.stringify(schema.default)}`);
  return said.join(", ");
}

/** A value's type, limits and meaning, in one line. */
export function line(description, part) {
  const schema = resolve(description, part);
  return [
    el("span", { class: "type" }, inWords(description, part)),
    limits(schema) && el("span", { class: "limits" }, limits(schema)),
    schema.description && el("span", { class: "meaning" }, prose(schema.description)),
  ];
}

/** The members of an object, with what is in them. */
export function tree(description, part, depth = 0) {
  const schema = resolve(description, part);
  const inner = typeOf(schema) === "array" && schema.items ? resolve(description, schema.items) : schema;
  const members = Object.entries(inner.properties ?? {});
  if (!members.length || depth > 3) return depth ? null : el("p", { class: "member" }, line(description, part));
  const required = inner.required ?? [];
  // What has to be said comes first.
  members.sort(([a], [b]) => required.includes(b) - required.includes(a));
  return el("ul", { class: "tree" }, members.map(([name, one]) =>
    el("li", {},
      el("p", { class: "member" },
        el("code", { class: "name" }, name),
        required.includes(name) && el("span", { class: "required" }, "required"),
        line(description, one)),
      tree(description, one, depth + 1))));
}
