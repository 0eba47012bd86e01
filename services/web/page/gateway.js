// Requests to the gateway that this page came from, and why one failed.

/** Why there is no answer, or no more of it. */
export class AnswerError extends Error {
  constructor(message, { code = "", status = 0, retryAfter = 0, requestId = "" } = {}) {
    super(message);
    Object.assign(this, { code, status, retryAfter, requestId });
  }
}

const UNREACHABLE =
  "The gateway does not answer. Check that it is running and that this machine reaches it, " +
  "then try again.";

export function headers(apiKey) {
  const all = { "Content-Type": "application/json" };
  if (apiKey) all.Authorization = `Bearer ${apiKey}`;
  return all;
}

async function toError(response) {
  const details = {
    status: response.status,
    retryAfter: Number(response.headers.get("Retry-After")) || 0,
    requestId: response.headers.get("X-Request-Id") ?? "",
  };
  try {
    const { error } = await response.json();
    return new AnswerError(error.message, { ...details, code: error.code ?? error.type });
  } catch {
    return new AnswerError(
      `The gateway answered with status ${response.status} and without words. Look at its log.`,
      details,
    );
  }
}

/** The response to a request that went well. Throws AnswerError; AbortError when aborted. */
export async function send(path, init) {
  let response;
  try {
    response = await fetch(path, { ...init, credentials: "same-origin", cache: "no-store" });
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new AnswerError(UNREACHABLE, { code: "unreachable" });
  }
  if (!response.ok) throw await toError(response);
  return response;
}
