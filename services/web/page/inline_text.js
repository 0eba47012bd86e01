// Emphasis, code spans and links of one paragraph as DOM nodes. Text is never read as HTML.

const DEPTH_MAX = 8;
const FORMATTED_CHARACTERS_MAX = 20000; // longer paragraphs stay as they are
const SAFE_LINK = /^(?:https?:\/\/|mailto:)/i;
const BARE_LINK = /^https?:\/\/[^\s<>"'`]*[^\s<>"'`.,;:!?)\]}*_]/;
const MARKS = [
  ["**", "strong"],
  ["__", "strong"],
  ["~~", "s"],
  ["*", "em"],
  ["_", "em"],
];

export function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function link(address, children) {
  const node = make("a", "", ...children);
  node.href = address;
  node.target = "_blank";
  node.rel = "noopener noreferrer nofollow";
  node.title = address;
  return node;
}

const isWord = (character) => character !== undefined && /[\p{L}\p{N}]/u.test(character);
const isSpace = (character) => character === undefined || /\s/.test(character);

/** Walks over one paragraph; what has no closing mark stays text. */
class InlineReader {
  constructor(text, depth) {
    this.text = text;
    this.depth = depth;
    this.at = 0;
    this.plain = "";
    this.nodes = [];
    this.unclosed = new Set(); // marks that do not come again
  }

  read() {
    while (this.at < this.text.length) {
      if (this.escape() || this.code() || this.emphasis() || this.anchor() || this.bare()) continue;
      if (this.text[this.at] === "\n") {
        this.plain = this.plain.replace(/ +$/, "");
        this.push(make("br"));
        this.at += 1;
      } else {
        this.plain += this.text[this.at++];
      }
    }
    this.flush();
    return this.nodes;
  }

  flush() {
    if (this.plain) this.nodes.push(document.createTextNode(this.plain));
    this.plain = "";
  }

  push(node) {
    this.flush();
    this.nodes.push(node);
  }

  escape() {
    if (this.text[this.at] !== "\\" || !/[!-/:-@[-`{-~]/.test(this.text[this.at + 1] ?? "")) {
      return false;
    }
    this.plain += this.text[this.at + 1];
    this.at += 2;
    return true;
  }

  code() {
    const ticks = this.text[this.at] === "`" && /^`+/.exec(this.text.slice(this.at, this.at + 32));
    if (!ticks) return false;
    const [mark] = ticks;
    const end = this.unclosed.has(mark) ? -1 : this.endOfCode(mark);
    if (end < 0) {
      this.unclosed.add(mark);
      this.plain += mark;
      this.at += mark.length;
      return true;
    }
    const inside = this.text.slice(this.at + mark.length, end).replace(/\n/g, " ");
    const trimmed = /^ .*[^ ].* $/.test(inside) ? inside.slice(1, -1) : inside;
    this.push(make("code", "", trimmed));
    this.at = end + mark.length;
    return true;
  }

  endOfCode(mark) {
    let end = this.text.indexOf(mark, this.at + mark.length);
    while (end >= 0 && this.text[end + mark.length] === "`") {
      while (this.text[end] === "`") ++end;
      end = this.text.indexOf(mark, end);
    }
    return end;
  }

  emphasis() {
    if (this.depth >= DEPTH_MAX) return false;
    for (const [mark, tag] of MARKS) {
      if (!this.text.startsWith(mark, this.at)) continue;
      const end = this.opens(mark) ? this.closing(mark) : -1;
      if (end < 0) continue;
      const inside = this.text.slice(this.at + mark.length, end);
      this.push(make(tag, "", ...new InlineReader(inside, this.depth + 1).read()));
      this.at = end + mark.length;
      return true;
    }
    return false;
  }

  opens(mark) {
    if (isSpace(this.text[this.at + mark.length])) return false;
    if (mark.length === 1 && this.text[this.at + 1] === mark) return false;
    return mark[0] !== "_" || !isWord(this.text[this.at - 1]);
  }

  closing(mark) {
    if (this.unclosed.has(mark)) return -1;
    let end = this.text.indexOf(mark, this.at + mark.length + 1);
    while (end >= 0 && !this.closes(mark, end)) end = this.text.indexOf(mark, end + 1);
    if (end < 0) this.unclosed.add(mark);
    return end;
  }

  closes(mark, end) {
    const before = this.text[end - 1];
    const behind = this.text[end + mark.length];
    if (isSpace(before) || before === "\\") return false;
    if (mark.length === 1 && (before === mark || behind === mark)) return false;
    return mark[0] !== "_" || !isWord(behind);
  }

  /** [text](address), and ![text](address) as a link: nothing is fetched. */
  anchor() {
    const image = this.text.startsWith("![", this.at);
    if (this.depth >= DEPTH_MAX || !(image || this.text[this.at] === "[")) return false;
    const begin = this.at + (image ? 2 : 1);
    const middle = this.text.indexOf("](", begin);
    if (middle < 0 || this.text.slice(begin, middle).includes("[")) return false;
    const end = this.text.indexOf(")", middle);
    if (end < 0) return false;
    const address = this.text.slice(middle + 2, end).trim().split(/\s/)[0].replace(/^<|>$/g, "");
    if (!SAFE_LINK.test(address)) return false;
    const words = new InlineReader(this.text.slice(begin, middle), DEPTH_MAX).read();
    this.push(link(address, words.length > 0 ? words : [address]));
    this.at = end + 1;
    return true;
  }

  bare() {
    const angled = this.text.startsWith("<http", this.at);
    if (this.depth >= DEPTH_MAX || !(angled || this.text.startsWith("http", this.at))) return false;
    if (!angled && isWord(this.text[this.at - 1])) return false;
    const from = this.at + (angled ? 1 : 0);
    const found = BARE_LINK.exec(this.text.slice(from, from + 2000));
    if (!found) return false;
    this.push(link(found[0], [found[0]]));
    this.at = from + found[0].length;
    if (angled && this.text[this.at] === ">") this.at += 1;
    return true;
  }
}

/** Nodes of a paragraph's text. */
export function inlineNodes(text) {
  if (text.length > FORMATTED_CHARACTERS_MAX) return [document.createTextNode(text)];
  return new InlineReader(text, 0).read();
}
