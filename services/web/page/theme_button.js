// The button that goes through the themes: the system's, light, dark.
import { changeIcon } from "/web/icons.js";
import { saveTheme } from "/web/storage.js";

const THEMES = ["auto", "light", "dark"];
const NAMES = { auto: "automatic", light: "light", dark: "dark" };

function show(button, theme) {
  document.documentElement.dataset.theme = theme;
  changeIcon(button, theme);
  button.title = `Theme: ${NAMES[theme]}`;
  button.setAttribute("aria-label", button.title);
}

/** theme.js has set the theme that was kept. */
export function wireTheme(button) {
  show(button, document.documentElement.dataset.theme);
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme;
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    show(button, next);
    saveTheme(next);
  });
}
