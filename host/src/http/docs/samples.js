// A request in the words of other programs. Each sample runs as it stands.

const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const quoted = (text) => JSON.stringify(text);

/** A text in Rust that needs no escapes. */
function rust(text) {
  let fence = "";
  while (text.includes(`"${fence}`)) fence += "#";
  return fence || text.includes("\\") || text.includes("\n") ? `r${fence}"${text}"${fence}` : `"${text}"`;
}

function curl({ method, url, headers, body, parts, file }) {
  const lines = [method === "GET" ? `curl ${shell(url)}` : `curl -X ${method} ${shell(url)}`];
  for (const [name, value] of headers) lines.push(`-H ${shell(`${name}: ${value}`)}`);
  if (body != null) lines.push(`-d ${shell(body)}`);
  for (const [name, value] of parts ?? []) lines.push(`-F ${shell(`${name}=${value}`)}`);
  if (file) lines.push(parts ? `-F ${shell(`${file.name}=@FILE`)}` : "--data-binary @FILE");
  return lines.join(" \\\n  ");
}

function javascript({ method, url, headers, body, parts, file }) {
  const before = [];
  const options = [`method: ${quoted(method)}`];
  if (headers.length) {
    const all = headers.map(([name, value]) => `${quoted(name)}: ${quoted(value)}`);
    options.push(`headers: { ${all.join(", ")} }`);
  }
  if (body != null) options.push(`body: ${isJson(body) ? `JSON.stringify(${body})` : quoted(body)}`);
  if (parts) {
    before.push("const form = new FormData();");
    for (const [name, value] of parts) before.push(`form.append(${quoted(name)}, ${quoted(value)});`);
    if (file) before.push(`form.append(${quoted(file.name)}, file);`);
    options.push("body: form");
  } else if (file) options.push("body: file");
  return [
    ...before,
    `const response = await fetch(${quoted(url)}, {`,
    ...options.map((option) => `  ${option.replaceAll("\n", "\n  ")},`),
    "});",
    "console.log(response.status, await response.text());",
  ].join("\n");
}

function python({ method, url, headers, body }) {
  const options = [quoted(url), `method=${quoted(method)}`];
  if (headers.length) {
    const all = headers.map(([name, value]) => `${quoted(name)}: ${quoted(value)}`);
    options.push(`headers={${all.join(", ")}}`);
  }
  if (body != null) options.push(`data=${quoted(body)}.encode()`);
  return [
    "from urllib.request import Request, urlopen",
    "",
    "request = Request(",
    ...options.map((option) => `    ${option},`),
    ")",
    "with urlopen(request) as response:",
    "    print(response.status, response.read().decode())",
  ].join("\n");
}

function ureq({ method, url, headers, body }) {
  const takesBody = ["POST", "PUT", "PATCH"].includes(method);
  const send = body != null ? `.send(${rust(body)})?` : takesBody ? ".send_empty()?" : ".call()?";
  return [
    "// cargo add ureq",
    "fn main() -> Result<(), ureq::Error> {",
    `    let mut response = ureq::${method.toLowerCase()}(${rust(url)})`,
    ...headers.map(([name, value]) => `        .header(${rust(name)}, ${rust(value)})`),
    `        ${send};`,
    `    println!("{} {}", response.status().as_u16(), response.body_mut().read_to_string()?);`,
    "    Ok(())",
    "}",
  ].join("\n");
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The samples of a request, by language. Files are said in those that need no library for them. */
export function samples(request) {
  const all = { curl: curl(request), JavaScript: javascript(request) };
  return request.file || request.parts ? all : { ...all, Python: python(request), Rust: ureq(request) };
}
