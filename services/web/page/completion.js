// One streamed answer of /v1/chat/completions: events in, deltas out, and errors that help.
import { AnswerError, headers, send } from "/web/gateway.js";

/** The models that are served: [{id, max_model_len}]. */
export async function listModels(apiKey) {
  const response = await send("/v1/models", { headers: headers(apiKey) });
  return (await response.json()).data;
}

/** The data of each event of a text/event-stream, as it comes. */
export async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let data = [];
  while (true) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) {
        data.push(line.slice(line[5] === " " ? 6 : 5));
      } else if (line === "" && data.length > 0) {
        yield data.join("\n");
        data = [];
      }
    }
  }
}

function requestBody(messages, settings) {
  const body = {
    messages,
    stream: true,
    stream_options: { include_usage: true },
    include_prompt_progress: true,
    return_token_ids: true, // what live tok/s counts
    timings: true,
  };
  for (const key of ["temperature", "top_p", "max_tokens", "seed"]) {
    if (settings[key] !== "") body[key] = Number(settings[key]);
  }
  if (settings.model) body.model = settings.model;
  return JSON.stringify(body);
}

/**
 * Asks for an answer. `hear` is called with {content, reasoning, toolCalls, tokens}, {progress},
 * {finish}, {usage} and {timings}, whichever a chunk has. Throws AnswerError; AbortError when
 * `signal` was used.
 */
export async function complete({ messages, settings, signal, hear }) {
  const response = await send("/v1/chat/completions", {
    method: "POST",
    headers: headers(settings.api_key),
    body: requestBody(messages, settings),
    signal,
  });
  const requestId = response.headers.get("X-Request-Id") ?? "";
  try {
    for await (const data of eventsOf(response.body)) {
      if (data === "[DONE]") return;
      hearChunk(JSON.parse(data), requestId, hear);
    }
  } catch (problem) {
    if (problem instanceof AnswerError || problem.name === "AbortError") throw problem;
    throw new AnswerError(`The connection broke off: ${problem.message}. Try again.`, {
      code: "broken_off",
      requestId,
    });
  }
  throw new AnswerError("The connection ended in mid-answer. Try again.", {
    code: "broken_off",
    requestId,
  });
}

function hearChunk(chunk, requestId, hear) {
  if (chunk.error) {
    const { message, code, type } = chunk.error;
    throw new AnswerError(message, { code: code ?? type, requestId });
  }
  if (chunk.prompt_progress) hear({ progress: chunk.prompt_progress });
  if (chunk.usage) hear({ usage: chunk.usage });
  const choice = chunk.choices?.[0];
  if (!choice) return;
  const delta = choice.delta ?? {};
  hear({
    content: delta.content ?? "",
    reasoning: delta.reasoning_content ?? "",
    toolCalls: delta.tool_calls ?? [],
    tokens: choice.token_ids?.length ?? 0,
  });
  if (choice.timings) hear({ timings: choice.timings });
  if (choice.finish_reason) hear({ finish: choice.finish_reason });
}
