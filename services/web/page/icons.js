// The drawings of index.html as elements, and buttons that show one.
import { make } from "/web/inline_text.js";

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "i");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A button with a drawing; `label` is what a screen reader says and what a pointer shows. */
export function iconButton(name, label, action) {
  const button = make("button", "icon small", icon(name));
  button.type = "button";
  button.title = label;
  button.setAttribute("aria-label", label);
  button.addEventListener("click", action);
  return button;
}

export function wordButton(words, action) {
  const button = make("button", "", words);
  button.type = "button";
  button.addEventListener("click", action);
  return button;
}
