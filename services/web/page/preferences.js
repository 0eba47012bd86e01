// The settings dialog, the choice of a model, and the theme.
import { ask } from "/web/chat_list.js";
import { DEFAULTS, saveSettings } from "/web/storage.js";
import { wireTheme } from "/web/theme_button.js";

const FIELDS = ["system", "temperature", "top_p", "max_tokens", "seed", "api_key"];
const byId = (id) => document.getElementById(id);

function fill(settings) {
  for (const field of FIELDS) byId(field).value = settings[field];
}

/** Lets the user change `settings` in place; true when they were saved. */
export async function editSettings(settings) {
  fill(settings);
  if (!(await ask(byId("settings")))) return false;
  for (const field of FIELDS) settings[field] = byId(field).value.trim();
  saveSettings(settings);
  return true;
}

/** The names of what is served; one alone needs no choice. */
export function showModels(models, settings) {
  const select = byId("model");
  select.replaceChildren(...models.map((model) => new Option(model.id, model.id)));
  if (!models.some((model) => model.id === settings.model)) settings.model = "";
  select.value = settings.model || (models[0]?.id ?? "");
  select.disabled = models.length < 2;
}

export function wirePreferences(settings) {
  wireTheme(byId("theme"));
  byId("reset-settings").addEventListener("click", () => {
    fill({ ...DEFAULTS, api_key: byId("api_key").value });
  });
  byId("model").addEventListener("change", ({ target }) => {
    settings.model = target.value;
    saveSettings(settings);
  });
}
