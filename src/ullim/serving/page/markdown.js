// The part of Markdown that model cards are written in, as elements with text nodes: headings,
// paragraphs, lists with one level inside, tables, code, emphasis, links. Anything else is text.

import { h } from "./dom.js";

const INLINE = /(`[^`]+`)|\*\*(.+?)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)|(https?:\/\/[^\s<>]*[^\s<>.,;:)])/g;

/** Return the elements of a Markdown text; headings start at `level`. */
export function markdown(text, level = 3) {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const out = [];
  let at = 0;
  const take = (test) => {
    const taken = [];
    while (at < lines.length && test(lines[at])) taken.push(lines[at++]);
    return taken;
  };
  while (at < lines.length) {
    const line = lines[at];
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    if (!line.trim()) {
      at += 1;
    } else if (heading) {
      at += 1;
      out.push(h(`h${Math.min(6, heading[1].length - 1 + level)}`, {}, inline(heading[2])));
    } else if (line.startsWith("```")) {
      at += 1;
      out.push(h("pre", {}, h("code", {}, take((l) => !l.startsWith("```")).join("\n"))));
      at += 1;
    } else if (line.startsWith("|")) {
      out.push(table(take((l) => l.startsWith("|"))));
    } else if (isItem(line)) {
      out.push(list(take((l) => isItem(l) || /^\s+\S/.test(l))));
    } else {
      // The first line is always taken, so that no odd line can stop the reading.
      at += 1;
      const rest = take((l) => l.trim() && !l.startsWith("#") && !l.startsWith("|") && !l.startsWith("```") && !isItem(l));
      out.push(h("p", {}, inline([line, ...rest].join(" "))));
    }
  }
  return out;
}

function isItem(line) {
  return /^\s*([-*]|\d+\.)\s+/.test(line);
}

function list(lines) {
  const outer = h(/^\s*\d/.test(lines[0]) ? "ol" : "ul");
  for (const line of lines) {
    const last = outer.lastElementChild;
    const text = line.replace(/^\s*([-*]|\d+\.)\s+/, "");
    if (isItem(line) && (!/^\s{2,}/.test(line) || !last)) {
      outer.append(h("li", {}, inline(text)));
    } else if (isItem(line)) {
      const inner = last.querySelector("ul") ?? last.appendChild(h("ul"));
      inner.append(h("li", {}, inline(text)));
    } else {
      (last ?? outer).append(" ", ...inline(line.trim()));
    }
  }
  return outer;
}

function table(lines) {
  const rows = lines.map((line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim()));
  const [head, ...body] = rows.filter((row) => !row.every((cell) => /^:?-+:?$/.test(cell)));
  const cells = (tag, row, props) => row.map((cell) => h(tag, props, inline(cell)));
  return h(
    "div",
    { class: "wide", tabindex: "0", role: "group", "aria-label": head.join(", ") },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, cells("th", head, { scope: "col" }))),
      h("tbody", {}, body.map((row) => h("tr", {}, cells("td", row)))),
    ),
  );
}

function inline(text) {
  const out = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > end) out.push(text.slice(end, match.index));
    const [whole, code, strong, em, linkText, linkTo, bare] = match;
    if (code) out.push(h("code", {}, code.slice(1, -1)));
    else if (strong) out.push(h("strong", {}, inline(strong)));
    else if (em) out.push(h("em", {}, em));
    else out.push(h("a", { href: linkTo ?? bare, rel: "noreferrer noopener", target: "_blank" }, linkText ?? bare));
    end = match.index + whole.length;
  }
  if (end < text.length) out.push(text.slice(end));
  return out;
}
