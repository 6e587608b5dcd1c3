// Elements in one call, so that nothing of a description is ever taken for HTML.

/** Makes an element: attributes (`onclick` and the like listen), then children: elements or texts. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** A text in which `code` is set as such. */
export function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}

/** JSON with its parts in colours. */
export function coloured(text) {
  const code = el("code");
  const parts = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  let end = 0;
  for (const found of text.matchAll(parts)) {
    const [whole, quoted, colon, word] = found;
    const kind = quoted ? (colon ? "key" : "text") : word ? "word" : "number";
    const body = colon ? quoted : whole;
    code.append(text.slice(end, found.index), el("span", { class: kind }, body));
    end = found.index + body.length;
  }
  code.append(text.slice(end));
  return code;
}

/** A button that copies a text. */
export function copyButton(text) {
  const button = el("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Cannot copy";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}
