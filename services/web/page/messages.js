// One message of a conversation as it is shown: text, thoughts, tool calls, errors, figures.
import { icon, iconButton, wordButton } from "/web/icons.js";
import { make } from "/web/inline_text.js";
import { showMarkdown } from "/web/markdown.js";

const seconds = (value) => `${value.toFixed(value < 10 ? 2 : 1)} s`;

/** "41 tokens · first after 0.21 s · 38 tok/s" */
export function figures({ tokens, firstAfter, rate, finish }) {
  const parts = [`${tokens} token${tokens === 1 ? "" : "s"}`];
  if (firstAfter > 0) parts.push(`first after ${seconds(firstAfter)}`);
  if (rate > 0) parts.push(`${rate.toFixed(rate < 10 ? 1 : 0)} tok/s`);
  if (finish === "length") parts.push("cut at the token limit");
  return parts.join(" · ");
}

export async function copyText(text, button) {
  const said = button.getAttribute("aria-label");
  try {
    await navigator.clipboard.writeText(text);
    button.classList.add("done");
    button.setAttribute("aria-label", "Copied");
  } catch {
    button.setAttribute("aria-label", "Copying is not allowed here: select the text instead");
  }
  setTimeout(() => {
    button.classList.remove("done");
    if (said === null) button.removeAttribute("aria-label");
    else button.setAttribute("aria-label", said);
  }, 1500);
}

/** `actions`: {regenerate, openSettings}. */
export class MessageView {
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    const mine = message.role === "user";
    this.node = make("article", `message ${mine ? "mine" : "theirs"}`);
    this.node.setAttribute("aria-label", mine ? "You" : "Answer");
    this.text = make("div", "text");
    this.node.append(this.text);
    if (mine) {
      this.text.textContent = message.content;
      return;
    }
    this.thoughts = make("div", "text");
    this.summary = make("summary", "", "Thinking");
    this.thinking = make("details", "thinking", this.summary, this.thoughts);
    this.tools = make("div", "tools");
    this.foot = make("footer", "foot");
    this.text.before(this.thinking);
    this.node.append(this.tools, this.foot);
  }

  /** Shows what the message has now; `running`: more of it will come; `last`: of its list. */
  show({ running, last }) {
    const { message } = this;
    if (message.role === "user") return;
    this.node.classList.toggle("running", running);
    this.node.setAttribute("aria-busy", String(running));
    const { reasoning = "", content } = message;
    this.thinking.hidden = reasoning === "";
    this.summary.textContent = running && content === "" ? "Thinking …" : "Thoughts";
    showMarkdown(this.thoughts, reasoning);
    showMarkdown(this.text, content);
    this.showTools();
    this.foot.replaceChildren(...(running ? [] : this.footing(last)));
  }

  showTools() {
    const calls = this.message.toolCalls ?? [];
    this.tools.replaceChildren(
      ...calls.map((call) =>
        make(
          "div",
          "tool",
          make("strong", "", call.name || "tool"),
          make("pre", "", make("code", "", call.arguments)),
        ),
      ),
    );
  }

  footing(last) {
    const { error, stopped, stats, content } = this.message;
    const nodes = [];
    if (error) nodes.push(this.errorNode(error, last));
    const buttons = make("div", "actions");
    if (content) {
      buttons.append(iconButton("copy", "Copy the answer", ({ currentTarget }) => {
        copyText(content, currentTarget);
      }));
    }
    if (last && !error) {
      buttons.append(iconButton("again", "Regenerate the answer", this.actions.regenerate));
    }
    const words = [];
    if (stopped) words.push("stopped");
    if (stats) words.push(figures(stats));
    buttons.append(make("span", "figures", words.join(" · ")));
    if (content || !error) nodes.push(buttons);
    return nodes;
  }

  errorNode(error, last) {
    const node = make("div", "error", make("p", "", error.message));
    node.setAttribute("role", "alert");
    const row = make("div", "row");
    if (last) {
      const again = wordButton("Try again", this.actions.regenerate);
      again.prepend(icon("again"));
      row.append(again);
    }
    if (error.status === 401 || error.status === 403) {
      row.append(wordButton("Set the API key", this.actions.openSettings));
    }
    if (error.retryAfter > 0) {
      row.append(make("span", "figures", `The gateway asks to wait ${error.retryAfter} s.`));
    }
    const names = [error.code, error.requestId].filter(Boolean).join(" · ");
    if (names) row.append(make("span", "space"), make("code", "", names));
    node.append(row);
    return node;
  }
}
