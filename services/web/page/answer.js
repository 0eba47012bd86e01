// One answer under way: what has come of it, its speed, and how it ended.
import { complete } from "/web/completion.js";
import { AnswerError } from "/web/gateway.js";

/** What is sent: questions whose answer ended before its first word are left out. */
export function history(messages, system) {
  const sent = system ? [{ role: "system", content: system }] : [];
  messages.forEach((message, i) => {
    const next = messages[i + 1];
    const empty = (m) => m?.role === "assistant" && m.content === "";
    if (empty(message) || (message.role === "user" && empty(next))) return;
    sent.push({ role: message.role, content: message.content });
  });
  return sent;
}

function addToolCalls(calls, deltas) {
  for (const delta of deltas) {
    const call = (calls[delta.index ?? 0] ??= { name: "", arguments: "" });
    call.name += delta.function?.name ?? "";
    call.arguments += delta.function?.arguments ?? "";
  }
}

export class RunningAnswer {
  constructor(message) {
    this.message = message; // grows
    this.progress = null;
    this.tokens = 0;
    this.started = performance.now();
    this.firstAt = 0;
    this.controller = new AbortController();
  }

  stop() {
    this.controller.abort();
  }

  /** Tokens after the first per second, until now. */
  get rate() {
    const elapsed = (performance.now() - this.firstAt) / 1000;
    return this.tokens > 1 && elapsed > 0 ? (this.tokens - 1) / elapsed : 0;
  }

  /** Ends when the answer has; `changed` is called whenever there is more of it. */
  async run({ messages, settings, changed }) {
    const { message } = this;
    const stats = { tokens: 0, firstAfter: 0, rate: 0, finish: "" };
    try {
      await complete({
        messages,
        settings,
        signal: this.controller.signal,
        hear: (news) => {
          this.hear(news, stats);
          changed();
        },
      });
    } catch (problem) {
      if (problem.name === "AbortError") {
        message.stopped = true;
      } else {
        const told = problem instanceof AnswerError ? problem : new AnswerError(String(problem));
        const { code, status, retryAfter, requestId } = told;
        message.error = { message: told.message, code, status, retryAfter, requestId };
      }
    }
    stats.tokens = Math.max(stats.tokens, this.tokens);
    stats.rate ||= this.rate;
    if (stats.tokens > 0) message.stats = stats;
  }

  hear(news, stats) {
    const { message } = this;
    if (news.progress) this.progress = news.progress;
    if (news.usage) stats.tokens = news.usage.completion_tokens;
    if (news.finish) stats.finish = news.finish;
    if (news.timings) {
      const { time_to_first_token_s: first, duration_s: all, completion_tokens: n } = news.timings;
      stats.firstAfter = first;
      stats.rate = n > 1 && all > first ? (n - 1) / (all - first) : 0;
    }
    if (news.tokens > 0 && this.tokens === 0) {
      this.firstAt = performance.now();
      stats.firstAfter = (this.firstAt - this.started) / 1000;
    }
    this.tokens += news.tokens ?? 0;
    message.content += news.content ?? "";
    if (news.reasoning) message.reasoning = (message.reasoning ?? "") + news.reasoning;
    if (news.toolCalls?.length > 0) addToolCalls((message.toolCalls ??= []), news.toolCalls);
  }
}
