// One operation: what it takes and answers, how programs call it, and a form that calls it.

import { coloured, copyButton, el, prose } from "./dom.js";
import { samples } from "./samples.js";
import { example, line, nameOf, resolve, tree } from "./schema.js";

/** What the whole page knows: the description, where the API is, and who asks. */
export const session = { description: {}, base: "", headers: () => [] };

/** The card of an operation. What is in it is made when it is opened. */
export function card(operation) {
  const body = el("div", { class: "inside" });
  const details = el("details", { class: "operation", id: operation.operationId },
    el("summary", {},
      el("span", { class: `method ${operation.method}` }, operation.method),
      el("code", { class: "path" }, path(operation.path)),
      el("span", { class: "about" }, operation.summary ?? "")),
    body);
  details.addEventListener("toggle", () => {
    if (details.open && !body.childElementCount) body.append(...inside(operation));
  });
  return details;
}

/** A path that breaks where its segments do, with its parameters set off. */
function path(text) {
  return text.split(/(?=\/)|(\{[^}]*\})/).filter(Boolean).flatMap((part) =>
    part.startsWith("{") ? [el("b", {}, part)] : [el("wbr"), part]);
}

function inside(operation) {
  const form = new Form(operation);
  return [
    el("div", { class: "columns" },
      el("div", { class: "words" }, access(operation), form.parameters, form.body),
      el("div", { class: "try" }, form.samples, form.sending, form.answer),
      el("div", { class: "answers" }, answers(operation))),
  ];
}

function access({ security = [] }) {
  if (!security.length) return el("p", { class: "access" }, "Everybody may call this.");
  const names = security.flatMap((one) => one.bearer ?? []);
  const open = security.some((one) => !Object.keys(one).length);
  const who = names.length ? ["Needs ", el("code", {}, names.join(", ")), open ? ", which everybody has here." : "."] : ["Needs the operator's token, unless asked on the host's own machine."];
  return el("p", { class: "access" }, names.length || open ? who : "Needs the operator's token.");
}

function answers(operation) {
  const { description } = session;
  const all = Object.entries(operation.responses).sort(([a], [b]) => a.localeCompare(b));
  return el("section", {}, el("h4", {}, "Answers"), all.map(([status, part]) => {
    const answer = resolve(description, part);
    const [type, content] = Object.entries(answer.content ?? {})[0] ?? [];
    const isProblem = type === "application/problem+json";
    const [title, ...codes] = answer.description.split("\n- ");
    return el("details", { class: "answer" },
      el("summary", {},
        el("span", { class: `code of-${status[0]}` }, status),
        el("span", {}, title),
        !isProblem && content?.schema && el("code", { class: "kind" }, nameOf(content.schema) ?? type)),
      codes.length > 0 && el("ul", { class: "codes" }, codes.map((code) => el("li", {}, prose(code)))),
      headers(answer),
      isProblem ? null : content?.schema ? tree(description, content.schema) : type && el("p", {}, el("code", {}, type)));
  }));
}

function headers(answer) {
  const named = Object.entries(answer.headers ?? {}).filter(([name]) => name !== "x-request-id");
  if (!named.length) return null;
  return el("ul", { class: "tree" }, named.map(([name, part]) => {
    const header = resolve(session.description, part);
    return el("li", {}, el("p", { class: "member" }, el("code", { class: "name" }, name), el("span", { class: "meaning" }, prose(header.description ?? ""))));
  }));
}

/** What somebody may say to an operation, and what comes of it. */
class Form {
  constructor(operation) {
    this.operation = operation;
    this.fields = [];
    const { description } = session;
    const known = (operation.parameters ?? []).map((part) => resolve(description, part)).filter((one) => one.in !== "header");
    this.parameters = known.length ? el("section", {}, el("h4", {}, "Parameters"), known.map((one) => this.field(one))) : null;
    this.body = this.bodyOf(resolve(description, operation.requestBody));
    this.code = el("pre", { class: "sample", tabindex: "0" });
    this.language = localStorage.getItem("language") ?? "curl";
    this.samples = el("section", { class: "samples" });
    this.answer = el("div", { class: "outcome", role: "status" });
    this.button = el("button", { type: "button", class: "send", onclick: () => this.send() }, "Send");
    this.sending = el("div", { class: "sending" }, this.button,
      operation.method !== "get" && operation.method !== "head" && el("small", {}, "This is sent for real."));
    this.update();
    document.addEventListener("who-changed", () => this.update());
  }

  id(name) {
    return `${this.operation.operationId}-${name}`;
  }

  field(parameter) {
    const { description } = session;
    const schema = resolve(description, parameter.schema);
    const id = this.id(parameter.name);
    const attributes = { id, name: parameter.name, oninput: () => this.update(), autocomplete: "off", spellcheck: "false" };
    const input = schema.enum
      ? el("select", attributes, el("option", { value: "" }, "–"), schema.enum.map((one) => el("option", {}, one)))
      : el("input", { ...attributes, placeholder: parameter.required ? String(example(description, schema)) : "" });
    this.fields.push({ parameter, input });
    return el("div", { class: "parameter" },
      el("label", { for: id }, el("code", { class: "name" }, parameter.name),
        parameter.required && el("span", { class: "required" }, "required")),
      input,
      el("p", { class: "member" }, el("span", { class: "where" }, `in the ${parameter.in}`),
        line(description, { ...schema, description: undefined }),
        parameter.description && el("span", { class: "meaning" }, prose(parameter.description))));
  }

  bodyOf({ content = {} }) {
    const [type, { schema } = {}] = Object.entries(content)[0] ?? [];
    if (!type) return null;
    this.type = type;
    const { description } = session;
    const isText = !type.startsWith("multipart/") && (schema || type.startsWith("text/"));
    const children = [el("h4", {}, "Body ", el("code", { class: "kind" }, type))];
    const id = this.id("body");
    const text = schema && isText ? example(description, schema) : null;
    const shown = type === "application/x-www-form-urlencoded"
      ? new URLSearchParams(text ?? {}).toString()
      : type.endsWith("json") ? JSON.stringify(text, null, 2) : "";
    if (isText) {
      this.text = el("textarea", { id, spellcheck: "false", rows: String(Math.min(16, shown.split("\n").length + 1)), oninput: () => this.update() }, shown);
      children.push(el("label", { class: "hidden", for: id }, "Body"), this.text);
    } else {
      if (type.startsWith("multipart/")) {
        this.pairs = el("textarea", { id, rows: "3", spellcheck: "false", placeholder: "name=value, one on a line", oninput: () => this.update() });
        children.push(el("label", { class: "hidden", for: id }, "Fields"), this.pairs);
      }
      this.file = el("input", { id: this.id("file"), type: "file", name: "file", onchange: () => this.update() });
      children.push(el("label", { class: "hidden", for: this.file.id }, "File"), this.file);
    }
    if (schema) children.push(tree(description, schema));
    return el("section", {}, children);
  }

  /** The request, as far as it was filled in. */
  request() {
    const query = new URLSearchParams();
    let path = this.operation.path;
    for (const { parameter, input } of this.fields) {
      const value = input.value || (parameter.required ? input.placeholder : "");
      // The rest of a path keeps its slashes.
      const encoded = encodeURIComponent(value).replaceAll("%2F", parameter.description?.startsWith("The rest") ? "/" : "%2F");
      if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encoded);
      else if (value) query.append(parameter.name, value);
    }
    const asked = [...query].length ? `?${query}` : "";
    const request = {
      method: this.operation.method.toUpperCase(),
      url: new URL(`.${path}${asked}`, session.base).href,
      headers: session.headers(),
    };
    if (this.type && !this.type.startsWith("multipart/")) request.headers.push(["content-type", this.type]);
    if (this.text) request.body = compact(this.text.value, this.type);
    if (this.pairs) request.parts = this.pairs.value.split("\n").filter((pair) => pair.includes("=")).map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]);
    if (this.file) request.file = { name: "file", chosen: this.file.files[0] };
    return request;
  }

  update() {
    const all = samples(this.request());
    const chosen = all[this.language] ? this.language : "curl";
    const tabs = Object.keys(all).map((language) => el("button", {
      type: "button", role: "tab", "aria-selected": String(language === chosen), onclick: () => {
        this.language = language;
        localStorage.setItem("language", language);
        this.update();
        this.samples.querySelector('[aria-selected="true"]').focus();
      },
    }, language));
    this.code.replaceChildren(el("code", { "data-language": chosen }, all[chosen]));
    this.samples.replaceChildren(
      el("div", { class: "tabs" }, el("div", { role: "tablist", "aria-label": "Language" }, tabs), copyButton(() => all[chosen])),
      this.code);
  }

  async send() {
    const { method, url, headers, body, parts, file } = this.request();
    const options = { method, headers };
    if (parts) {
      options.body = new FormData();
      for (const [name, value] of parts) options.body.append(name, value);
      if (file.chosen) options.body.append(file.name, file.chosen);
    } else if (body != null) options.body = body;
    else if (file?.chosen) options.body = file.chosen;
    this.button.disabled = true;
    const began = performance.now();
    try {
      const response = await fetch(url, options);
      this.show(response, await response.text(), performance.now() - began);
    } catch (error) {
      this.answer.replaceChildren(el("p", { class: "failure" }, `There was no answer: ${error.message}`));
    }
    this.button.disabled = false;
  }

  show(response, text, took) {
    const type = response.headers.get("content-type") ?? "";
    const next = /<([^>]*)>;\s*rel="next"/.exec(response.headers.get("link") ?? "");
    this.answer.replaceChildren(
      el("p", { class: "head" },
        el("span", { class: `code of-${String(response.status)[0]}` }, String(response.status)),
        el("span", {}, response.statusText),
        el("small", {}, `${Math.round(took)} ms`),
        next && el("button", { type: "button", onclick: () => this.goOn(new URLSearchParams(next[1])) }, "Next page")),
      text ? el("pre", { tabindex: "0" }, shown(text, type)) : el("p", { class: "empty" }, "No body."),
      el("details", { class: "headers" }, el("summary", {}, "Headers"),
        el("pre", {}, [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n"))));
  }

  goOn(query) {
    for (const { parameter, input } of this.fields) {
      if (query.has(parameter.name)) input.value = query.get(parameter.name);
    }
    this.update();
    this.send();
  }
}

/** JSON without what only people need; anything else as it is. */
function compact(text, type) {
  if (!type.endsWith("json")) return text;
  try {
    JSON.parse(text);
    // Numbers stay as they were typed: JavaScript has no large ones.
    return text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, (_, quoted) => quoted ?? "");
  } catch {
    return text;
  }
}

function shown(text, type) {
  if (!/json/.test(type)) return text.length > 100_000 ? `${text.slice(0, 100_000)} …` : text;
  try {
    return coloured(JSON.stringify(JSON.parse(text), null, 2));
  } catch {
    return text;
  }
}
