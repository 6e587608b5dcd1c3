// The page: reads the description of the API and shows it, for the tenant that was chosen.

import { el, prose } from "./dom.js";
import { card, session } from "./operation.js";

const $ = (id) => document.getElementById(id);
const tenantHeader = document.querySelector('meta[name="tenant-header"]').content;
const METHODS = ["get", "head", "post", "put", "patch", "delete"];

const query = new URLSearchParams(location.search);
$("tenant").value = query.get("tenant") ?? "";
session.base = new URL("./", location.href).href;
session.headers = () => {
  const headers = [];
  if ($("tenant").value) headers.push([tenantHeader, $("tenant").value]);
  if ($("token").value) headers.push(["authorization", `Bearer ${$("token").value}`]);
  return headers;
};

$("token").addEventListener("input", () => document.dispatchEvent(new Event("who-changed")));
$("tenant-form").addEventListener("submit", (event) => {
  event.preventDefault();
  changeTenant();
});
$("tenant").addEventListener("change", changeTenant);
$("search").addEventListener("input", () => find($("search").value));
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName)) {
    event.preventDefault();
    $("search").focus();
  }
});
addEventListener("hashchange", openNamed);

let current = null;
function changeTenant() {
  const slug = $("tenant").value.trim();
  if (slug === current) return;
  const url = new URL(location.href);
  if (slug) url.searchParams.set("tenant", slug);
  else url.searchParams.delete("tenant");
  history.replaceState(null, "", url);
  read();
}

async function read() {
  current = $("tenant").value.trim();
  $("status").hidden = false;
  $("status").classList.remove("failure");
  try {
    const response = await fetch(new URL("openapi.json", session.base), { headers: session.headers().slice(0, current ? 1 : 0) });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.detail ?? response.statusText);
    show(answer);
  } catch (error) {
    $("groups").replaceChildren();
    $("index").replaceChildren();
    $("about").replaceChildren();
    $("status").classList.add("failure");
    $("status").textContent = `The API cannot be shown: ${error.message}.`;
  }
}

function show(description) {
  session.description = description;
  $("title").textContent = `${description.info.title} API`;
  $("version").textContent = description.info.version;
  document.title = `${description.info.title} API${current ? ` of ${current}` : ""}`;
  $("about").replaceChildren(el("p", {}, prose(description.info.description ?? "")));
  $("status").hidden = true;

  const groups = new Map(description.tags.map((tag) => [tag.name, { tag, operations: [] }]));
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const method of METHODS.filter((one) => methods[one])) {
      const operation = { ...methods[method], path, method };
      const name = operation.tags?.[0] ?? "Others";
      if (!groups.has(name)) groups.set(name, { tag: { name }, operations: [] });
      groups.get(name).operations.push(operation);
    }
  }
  const filled = [...groups.values()].filter((group) => group.operations.length);
  $("groups").replaceChildren(...filled.map(({ tag, operations }) =>
    el("section", { class: "group" },
      el("h2", {}, tag.name, tag["x-module-version"] && el("small", {}, tag["x-module-version"])),
      tag.description && el("p", { class: "meaning" }, tag.description),
      operations.map(card))));
  $("index").replaceChildren(...filled.map(({ tag, operations }) =>
    el("section", {}, el("h2", {}, tag.name), el("ul", {}, operations.map((operation) =>
      el("li", { "data-words": `${operation.method} ${operation.path} ${operation.summary ?? ""}`.toLowerCase() },
        el("a", { href: `#${operation.operationId}` },
          el("span", { class: `method ${operation.method}` }, operation.method),
          el("span", {}, operation.summary ?? operation.path))))))));
  find($("search").value);
  openNamed();
}

/** Shows those operations alone in which all words are found. */
function find(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of $("index").children) {
    let shown = 0;
    for (const item of section.querySelectorAll("li")) {
      item.hidden = !words.every((word) => item.dataset.words.includes(word));
      shown += item.hidden ? 0 : 1;
    }
    section.hidden = !shown;
  }
}

/** Opens the operation that the address names. */
function openNamed() {
  const named = $(decodeURIComponent(location.hash.slice(1)));
  if (!named?.matches("details")) return;
  named.open = true;
  named.scrollIntoView({ block: "start" });
  for (const link of $("index").querySelectorAll("a")) {
    if (link.hash === location.hash) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

read();
