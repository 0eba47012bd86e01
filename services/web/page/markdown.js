// Markdown as DOM nodes, block by block, so that a growing answer changes its last block only.
import { inlineNodes, make } from "/web/inline_text.js";

const DEPTH_MAX = 8; // of lists and quotes in each other
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}>\s?/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

const isBlank = (line) => /^\s*$/.test(line);

function fenceEnd(lines, from, mark) {
  let end = from + 1;
  while (end < lines.length) {
    const line = lines[end++].trim();
    if (line.length >= mark.length && [...line].every((c) => c === mark[0])) return end;
  }
  return end;
}

function isTable(lines, at) {
  const rule = lines[at + 1];
  return lines[at].includes("|") && rule !== undefined && rule.includes("-") && TABLE_RULE.test(rule);
}

function listEnd(lines, from) {
  let end = from + 1;
  while (end < lines.length) {
    const line = lines[end];
    const next = lines[end + 1] ?? "";
    const goesOn = ITEM.test(line) || /^\s{2,}\S/.test(line);
    if (!goesOn && !isBlank(line) && isBlank(lines[end - 1])) break;
    if (isBlank(line) && !ITEM.test(next) && !/^\s{2,}\S/.test(next)) break;
    if (RULE.test(line) || (FENCE.test(line) && !/^\s/.test(line))) break;
    ++end;
  }
  return end;
}

function paragraphEnd(lines, from) {
  let end = from + 1;
  while (end < lines.length) {
    const line = lines[end];
    const other = [FENCE, HEADING, RULE, ITEM, QUOTE].some((form) => form.test(line));
    if (isBlank(line) || other || isTable(lines, end)) break;
    ++end;
  }
  return end;
}

/** [{kind, lines}] in order. */
function blocksOf(lines) {
  const blocks = [];
  let at = 0;
  const take = (kind, end) => {
    blocks.push({ kind, lines: lines.slice(at, end) });
    at = end;
  };
  while (at < lines.length) {
    const line = lines[at];
    const fence = FENCE.exec(line);
    if (isBlank(line)) {
      ++at;
    } else if (fence) {
      take("code", fenceEnd(lines, at, fence[1]));
    } else if (HEADING.test(line)) {
      take("heading", at + 1);
    } else if (RULE.test(line)) {
      take("rule", at + 1);
    } else if (QUOTE.test(line)) {
      let end = at + 1;
      while (end < lines.length && QUOTE.test(lines[end])) ++end;
      take("quote", end);
    } else if (ITEM.test(line)) {
      take("list", listEnd(lines, at));
    } else if (isTable(lines, at)) {
      let end = at + 2;
      while (end < lines.length && lines[end].includes("|")) ++end;
      take("table", end);
    } else {
      take("paragraph", paragraphEnd(lines, at));
    }
  }
  return blocks;
}

function codeNode(lines) {
  const [, mark, language] = FENCE.exec(lines[0]);
  const last = lines[lines.length - 1].trim();
  const closed = lines.length > 1 && last.startsWith(mark) && last.replaceAll(mark[0], "") === "";
  const text = lines.slice(1, closed ? -1 : undefined).join("\n");
  const copy = make("button", "copy", "Copy");
  copy.type = "button";
  copy.dataset.copies = "code";
  const head = make("div", "code-head", make("span", "", language.trim().split(/\s/)[0]), copy);
  const pre = make("pre", "", make("code", "", text));
  pre.tabIndex = 0; // what scrolls can be reached by keyboard
  return make("div", "code", head, pre);
}

function cellsOf(line) {
  const inside = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  return inside.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function tableNode(lines) {
  const head = cellsOf(lines[0]);
  const sides = cellsOf(lines[1]).map((rule) =>
    rule.endsWith(":") ? (rule.startsWith(":") ? "center" : "right") : "",
  );
  const row = (line, tag) => {
    const cells = cellsOf(line).slice(0, head.length);
    return make("tr", "", ...cells.map((text, i) => make(tag, sides[i], ...inlineNodes(text))));
  };
  const body = lines.slice(2).map((line) => row(line, "td"));
  const table = make("table", "", make("thead", "", row(lines[0], "th")), make("tbody", "", ...body));
  return make("div", "table", table);
}

/** Lines of each item, without its mark and its indentation. */
function itemsOf(lines) {
  const items = [];
  let indent = 0;
  for (const line of lines) {
    const item = ITEM.exec(line);
    const own = item && (items.length === 0 || item[1].length < indent);
    if (own) {
      indent = item[1].length + item[2].length + 1;
      items.push([item[3]]);
    } else {
      items.at(-1).push(line.replace(new RegExp(`^\\s{0,${indent}}`), ""));
    }
  }
  return items;
}

function listNode(lines, depth) {
  const mark = ITEM.exec(lines[0])[2];
  const list = make(/\d/.test(mark) ? "ol" : "ul");
  if (list.tagName === "OL") list.start = parseInt(mark, 10);
  for (const item of itemsOf(lines)) {
    const blocks = blocksOf(item);
    const tight = blocks[0]?.kind === "paragraph" && !item.some(isBlank);
    const nodes = blocks.map((block) => blockNode(block, depth + 1));
    list.append(make("li", "", ...(tight ? [...nodes[0].childNodes, ...nodes.slice(1)] : nodes)));
  }
  return list;
}

function blockNode({ kind, lines }, depth) {
  const nests = (kind === "list" || kind === "quote") && depth < DEPTH_MAX;
  if (kind === "list" && nests) return listNode(lines, depth);
  if (kind === "quote" && nests) {
    const inside = blocksOf(lines.map((line) => line.replace(QUOTE, "")));
    return make("blockquote", "", ...inside.map((block) => blockNode(block, depth + 1)));
  }
  if (kind === "code") return codeNode(lines);
  if (kind === "table") return tableNode(lines);
  if (kind === "rule") return make("hr");
  if (kind === "heading") {
    const [, marks, text] = HEADING.exec(lines[0]);
    // The page has h1 and h2 of its own.
    return make(`h${Math.min(marks.length + 2, 6)}`, "", ...inlineNodes(text));
  }
  return make("p", "", ...inlineNodes(lines.map((line) => line.trimStart()).join("\n")));
}

/** Makes `into` show `text`; blocks that are as before stay, with their selection and focus. */
export function showMarkdown(into, text) {
  const blocks = blocksOf(text.replace(/\r\n?/g, "\n").split("\n"));
  const shown = (into.blocks ??= []);
  const sources = blocks.map(({ kind, lines }) => `${kind}\n${lines.join("\n")}`);
  let same = 0;
  while (same < shown.length && shown[same] === sources[same]) ++same;
  while (into.childElementCount > same) into.lastElementChild.remove();
  into.append(...blocks.slice(same).map((block) => blockNode(block, 0)));
  into.blocks = sources;
}
