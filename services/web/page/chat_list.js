// The list of conversations at the side, with its dialogs to rename and delete.
import { iconButton } from "/web/icons.js";
import { make } from "/web/inline_text.js";

const byId = (id) => document.getElementById(id);

/** The dialog's own value: "save" when it was confirmed. */
export function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    // What is saved counts from the click on: "close" comes later, and a key may come before it.
    const saved = ({ submitter }) => resolve(submitter?.value === "save");
    dialog.addEventListener("submit", saved, { once: true });
    const closed = () => {
      dialog.removeEventListener("submit", saved);
      resolve(dialog.returnValue === "save");
    };
    dialog.addEventListener("close", closed, { once: true });
  });
}

export function titleOf(chat) {
  return chat.title || "New conversation";
}

/** Cancel buttons close their dialog; a form's own submit would want valid fields. */
export function wireDialogs() {
  for (const id of ["settings", "rename", "remove"]) {
    byId(`cancel-${id}`).addEventListener("click", () => byId(id).close());
  }
}

/** `actions`: {open(chat), renamed(chat), removed(chat)}. */
export class ChatList {
  constructor(actions) {
    this.actions = actions;
    this.node = byId("chats");
  }

  show(chats, current) {
    this.node.replaceChildren(...chats.map((chat) => this.entry(chat, chat === current)));
  }

  entry(chat, isCurrent) {
    const open = make("button", "open", titleOf(chat));
    open.type = "button";
    open.title = titleOf(chat);
    if (isCurrent) open.setAttribute("aria-current", "true");
    open.addEventListener("click", () => this.actions.open(chat));
    return make(
      "li",
      isCurrent ? "current" : "",
      open,
      iconButton("pencil", `Rename ${titleOf(chat)}`, () => this.rename(chat)),
      iconButton("bin", `Delete ${titleOf(chat)}`, () => this.remove(chat)),
    );
  }

  async rename(chat) {
    const name = byId("name");
    name.value = titleOf(chat);
    const confirmed = ask(byId("rename"));
    name.select();
    if (!(await confirmed) || name.value.trim() === "") return;
    chat.title = name.value.trim();
    this.actions.renamed(chat);
  }

  async remove(chat) {
    byId("remove-name").textContent = titleOf(chat);
    if (await ask(byId("remove"))) this.actions.removed(chat);
  }
}
