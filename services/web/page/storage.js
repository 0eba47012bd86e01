// What the browser keeps: conversations, one entry each, and the settings.

const CHAT = "troupe.chat.";
const SETTINGS = "troupe.settings";
const THEME = "troupe.theme";

/** Called with a sentence when something could not be kept. */
let complain = () => {};
export function onStorageTrouble(listener) {
  complain = listener;
}

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null; // switched off, or not ours: as if it were not there
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    complain(
      "This browser keeps no more: the conversation lasts until the page is closed. " +
        "Delete old conversations, or allow this page to store data.",
    );
  }
}

function isChat(value) {
  return (
    value !== null &&
    typeof value === "object" &&
    typeof value.id === "string" &&
    typeof value.title === "string" &&
    Array.isArray(value.messages) &&
    value.messages.every((m) => m && typeof m.role === "string" && typeof m.content === "string")
  );
}

/** All conversations, the latest first. */
export function loadChats() {
  const chats = [];
  try {
    for (let i = 0; i < localStorage.length; ++i) {
      const key = localStorage.key(i);
      if (!key.startsWith(CHAT)) continue;
      const chat = read(key);
      if (isChat(chat)) chats.push(chat);
    }
  } catch {
    return [];
  }
  return chats.sort((a, b) => (b.updated ?? 0) - (a.updated ?? 0));
}

export function newChat() {
  const random = crypto.getRandomValues(new Uint32Array(2));
  return {
    id: Date.now().toString(36) + [...random].map((n) => n.toString(36)).join(""),
    title: "",
    updated: Date.now(),
    messages: [],
  };
}

/** A conversation without messages is not kept. */
export function saveChat(chat) {
  if (chat.messages.length > 0) write(CHAT + chat.id, JSON.stringify(chat));
}

export function removeChat(chat) {
  try {
    localStorage.removeItem(CHAT + chat.id);
  } catch {
    // Nothing was kept.
  }
}

/** Calls `listener` when another tab has changed a conversation. */
export function onForeignChange(listener) {
  addEventListener("storage", (event) => {
    if (event.key === null || event.key.startsWith(CHAT)) listener();
  });
}

export const DEFAULTS = Object.freeze({
  system: "",
  temperature: "",
  top_p: "",
  max_tokens: "",
  seed: "",
  api_key: "",
  model: "",
});

export function loadSettings() {
  const kept = read(SETTINGS) ?? {};
  const settings = { ...DEFAULTS };
  for (const key of Object.keys(DEFAULTS)) {
    if (typeof kept[key] === "string") settings[key] = kept[key];
  }
  return settings;
}

export function saveSettings(settings) {
  write(SETTINGS, JSON.stringify(settings));
}

/** "auto", "light" or "dark". */
export function saveTheme(theme) {
  write(THEME, theme);
}
