// Elements from plain calls. Text is always set as text, so nothing that comes from a label can become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element: `h("p", { class: "note" }, "text", child)`; an attribute `onclick` takes a function. */
export const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element, likewise. */
export const s = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Text for screen readers only. */
export const spoken = (text) => h("span", { class: "hidden" }, text);

/** A table with a caption; `rows` are arrays of cells, the first of each being the row's header. */
export function table(caption, headings, rows, attributes = {}) {
  return h("table", attributes,
    h("caption", { class: "hidden" }, caption),
    h("thead", {}, h("tr", {}, headings.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map(([first, ...rest]) => h("tr", {},
      h("th", { scope: "row" }, first), rest.map((cell) => h("td", {}, cell))))));
}
