// The chat page: joins what is kept, what is asked and what is shown.
import { history, RunningAnswer } from "/web/answer.js";
import { ChatList, titleOf, wireDialogs } from "/web/chat_list.js";
import { listModels } from "/web/completion.js";
import { wordButton } from "/web/icons.js";
import { make } from "/web/inline_text.js";
import { copyText, MessageView } from "/web/messages.js";
import { editSettings, showModels, wirePreferences } from "/web/preferences.js";
import * as storage from "/web/storage.js";

const TITLE_CHARACTERS_MAX = 60;
const SAVE_EVERY_MS = 2000;
const EXAMPLES = ["What is a lighthouse?", "What is a doctor?", "Write a haiku about the sea."];

const byId = (id) => document.getElementById(id);
const log = byId("log");
const question = byId("question");
const settings = storage.loadSettings();
let chats = storage.loadChats();
let chat = storage.newChat();
let views = [];
let running = null; // {answer, chat}
let drawing = false;
let savedAt = 0;

function say(words) {
  byId("status").textContent = words;
}

function notice(words) {
  byId("notice").textContent = words;
  byId("notice").hidden = words === "";
}

function runsHere() {
  return running !== null && running.chat === chat;
}

// What is shown.

const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 80;
function toEnd() {
  log.scrollTop = log.scrollHeight;
}

function showMessage(i) {
  const last = i === views.length - 1;
  views[i].show({ last, running: last && runsHere() });
}

function addView(message) {
  const view = new MessageView(message, { regenerate, openSettings });
  views.push(view);
  log.append(view.node);
  showMessage(views.length - 1);
}

function showWelcome() {
  const examples = EXAMPLES.map((text) => wordButton(text, () => send(text)));
  log.replaceChildren(
    make(
      "div",
      "welcome",
      make("h2", "", "What would you like to know?"),
      make("div", "examples", ...examples),
    ),
  );
}

function showChat() {
  byId("chat-title").textContent = titleOf(chat);
  document.title = chat.title ? `${chat.title} – Troupe` : "Troupe";
  views = [];
  log.replaceChildren();
  if (chat.messages.length === 0) showWelcome();
  for (const message of chat.messages) addView(message);
  toEnd();
  showList();
}

function showList() {
  list.show(chats, chat);
}

function liveWords({ progress, tokens, rate }) {
  if (tokens > 0) return `${tokens} tokens · ${rate.toFixed(rate < 10 ? 1 : 0)} tok/s`;
  if (progress) return `reading the prompt, ${progress.done} of ${progress.total} tokens`;
  return "waiting for the first token";
}

function showLive() {
  byId("stop").hidden = running === null;
  byId("send").hidden = running !== null;
  byId("progress").hidden = running === null;
  if (running === null) return;
  const { answer } = running;
  const reading = answer.tokens === 0;
  byId("prompt-bar").hidden = !reading;
  if (answer.progress) {
    byId("prompt-bar").max = answer.progress.total;
    byId("prompt-bar").value = answer.progress.done;
  } else {
    byId("prompt-bar").removeAttribute("value");
  }
  byId("live").textContent = liveWords(answer);
}

/** At most once a frame. */
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    showLive();
    if (!runsHere()) return;
    const follow = atEnd();
    showMessage(views.length - 1);
    if (follow) toEnd();
  });
}

// What is asked.

function keep() {
  const { chat: kept } = running;
  if (performance.now() - savedAt < SAVE_EVERY_MS) return;
  savedAt = performance.now();
  storage.saveChat(kept);
}

async function answerLast() {
  const message = { role: "assistant", content: "" };
  const messages = history(chat.messages, settings.system);
  const answer = new RunningAnswer(message);
  const asked = chat;
  running = { answer, chat: asked };
  asked.messages.push(message);
  asked.updated = Date.now();
  storage.saveChat(asked);
  addView(message);
  toEnd();
  showLive();
  say("The answer begins.");
  await answer.run({
    messages,
    settings,
    changed: () => {
      keep();
      draw();
    },
  });
  running = null;
  storage.saveChat(asked);
  showLive();
  if (asked === chat) {
    const follow = atEnd();
    showMessage(views.length - 1);
    if (follow) toEnd();
  }
  say(message.error ? "" : message.stopped ? "The answer was stopped." : "The answer is complete.");
}

function send(text) {
  if (running !== null || text.trim() === "") return;
  notice("");
  if (chat.messages.length === 0) {
    chat.title ||= [...text.trim().split("\n")[0]].slice(0, TITLE_CHARACTERS_MAX).join("");
    log.replaceChildren();
  } else {
    showUnfinished();
  }
  if (!chats.includes(chat)) chats.unshift(chat);
  const message = { role: "user", content: text.trim() };
  chat.messages.push(message);
  addView(message);
  byId("chat-title").textContent = titleOf(chat);
  document.title = `${titleOf(chat)} – Troupe`;
  showList();
  answerLast();
}

/** The answer that was the last one loses its buttons. */
function showUnfinished() {
  views.at(-1)?.show({ last: false, running: false });
}

function regenerate() {
  if (running !== null) return;
  while (chat.messages.at(-1)?.role === "assistant") {
    chat.messages.pop();
    views.pop().node.remove();
  }
  if (chat.messages.length > 0) answerLast();
  question.focus();
}

function stop() {
  running?.answer.stop();
}

async function openSettings() {
  if (await editSettings(settings)) loadModels();
  question.focus();
}

async function loadModels() {
  try {
    showModels(await listModels(settings.api_key), settings);
    notice("");
  } catch (problem) {
    notice(problem.message);
  }
}

function openChat(chosen) {
  chat = chosen;
  showChat();
  closeSide();
  question.focus();
}

const list = new ChatList({
  open: openChat,
  renamed(changed) {
    storage.saveChat(changed);
    if (changed === chat) showChat();
    else showList();
  },
  removed(gone) {
    if (running?.chat === gone) stop();
    gone.messages = []; // an answer under way is not kept again
    storage.removeChat(gone);
    chats = chats.filter((other) => other !== gone);
    if (gone === chat) openChat(storage.newChat());
    else showList();
  },
});

// Keys and pointers.

function openSide(open) {
  byId("shell").classList.toggle("with-side", open);
  byId("open-side").setAttribute("aria-expanded", String(open));
  if (open) byId("new-chat").focus();
}
function closeSide() {
  openSide(false);
}

function fitQuestion() {
  const lines = question.value.split("\n").length;
  question.rows = Math.min(lines, 8);
}

function wireKeys() {
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running !== null || question.value.trim() === "") return;
    const text = question.value;
    question.value = "";
    fitQuestion();
    send(text);
  });
  question.addEventListener("input", fitQuestion);
  question.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("ask").requestSubmit();
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    if (byId("shell").classList.contains("with-side")) closeSide();
    else stop();
  });
}

function wirePointers() {
  byId("stop").addEventListener("click", () => {
    stop();
    question.focus();
  });
  byId("new-chat").addEventListener("click", () => openChat(storage.newChat()));
  byId("open-settings").addEventListener("click", openSettings);
  byId("open-side").addEventListener("click", () => {
    openSide(!byId("shell").classList.contains("with-side"));
  });
  byId("veil").addEventListener("click", closeSide);
  log.addEventListener("click", ({ target }) => {
    if (target.dataset?.copies !== "code") return;
    copyText(target.closest(".code").querySelector("pre").textContent, target);
  });
}

storage.onStorageTrouble(notice);
storage.onForeignChange(() => {
  if (running !== null) return;
  chats = storage.loadChats();
  const same = chats.find((other) => other.id === chat.id);
  if (same) chat = same;
  else if (chat.messages.length > 0) chat = storage.newChat();
  showChat();
});
addEventListener("pagehide", () => {
  if (running !== null) storage.saveChat(running.chat);
});
wireDialogs();
wirePreferences(settings);
wireKeys();
wirePointers();
if (chats.length > 0) chat = chats[0];
showChat();
showLive();
loadModels();
question.focus();
