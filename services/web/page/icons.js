// The drawings of icons.svg as elements, and buttons that show one.
import { make } from "/web/inline_text.js";

const SVG = "http://www.w3.org/2000/svg";

function show(use, name) {
  use.setAttribute("href", `/web/icons.svg#i-${name}`);
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "i");
  svg.setAttribute("aria-hidden", "true");
  show(use, name);
  svg.append(use);
  return svg;
}

/** Another drawing in a button that has one. */
export function changeIcon(button, name) {
  show(button.querySelector("use"), name);
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
