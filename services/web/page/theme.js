// Sets the chosen theme before the first paint; everything else waits for main.js.
"use strict";
try {
  const chosen = localStorage.getItem("troupe.theme");
  if (["light", "dark"].includes(chosen)) document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is switched off: the theme of the system it is.
}
