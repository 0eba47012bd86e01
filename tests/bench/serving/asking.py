"""One streamed completion as a client sees it: when each token came, and how it ended."""

import dataclasses
import http.client
import json
import time
import urllib.parse

TIMEOUT_S = 300  # nothing came for so long: the request hangs


@dataclasses.dataclass
class Reply:
    """What became of one request; times are seconds of time.perf_counter."""

    due: float
    status: int = 0
    retry_after: str | None = None
    arrivals: list = dataclasses.field(default_factory=list)  # (time, tokens) of every piece
    progress: list = dataclasses.field(default_factory=list)  # (time, prompt tokens done)
    usage: dict = dataclasses.field(default_factory=dict)
    text: str = ""
    ids: list = dataclasses.field(default_factory=list)
    ended: float = 0.0
    failure: str = ""

    @property
    def tokens(self):
        return self.usage.get("completion_tokens") or sum(count for _, count in self.arrivals)

    @property
    def first_token_s(self):
        return self.arrivals[0][0] - self.due

    @property
    def gaps(self):
        """Seconds between one piece and the next."""
        return [b[0] - a[0] for a, b in zip(self.arrivals, self.arrivals[1:])]

    @property
    def tokens_per_s(self):
        """Of what came after the first piece."""
        rest = sum(count for _, count in self.arrivals[1:])
        return rest / (self.arrivals[-1][0] - self.arrivals[0][0])


def completion(prompt, tokens, **fields):
    """(path, body) of a greedy completion of exactly `tokens` tokens; `prompt`: text or ids."""
    body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    body |= {"stream": True, "stream_options": {"include_usage": True}, **fields}
    return "/v1/completions", body


def chat(messages, tokens, **fields):
    """(path, body) of a greedy answer of exactly `tokens` tokens."""
    body = {"messages": messages, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    body |= {"stream": True, "stream_options": {"include_usage": True}, **fields}
    return "/v1/chat/completions", body


def ask(url, asked, due=None, until=None):
    """Sends one request on a connection of its own and follows the answer to its end.

    `until(reply)`, asked after every piece: true hangs up."""
    reply = Reply(time.perf_counter() if due is None else due)
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=TIMEOUT_S)
    try:
        path, body = asked
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        reply.status = response.status
        if response.status == 200:
            _follow(response, reply, until)
        else:
            reply.retry_after = response.getheader("Retry-After")
            reply.failure = f"{response.status}: {response.read(300)!r}"
    except TimeoutError:
        reply.failure = f"hangs: nothing for {TIMEOUT_S} s"
    except (OSError, http.client.HTTPException) as error:
        reply.failure = repr(error)
    finally:
        connection.close()
    reply.ended = time.perf_counter()
    return reply


def _follow(response, reply, until):
    for line in response:
        if not line.startswith(b"data: "):
            continue
        if line.startswith(b"data: [DONE]"):
            return
        event = json.loads(line[6:])
        if "error" in event:
            reply.failure = str(event["error"])
            return
        _take(event, reply)
        if until and until(reply):
            return
    reply.failure = "the stream ended without [DONE]"


def _take(event, reply):
    now = time.perf_counter()
    if event.get("usage"):
        reply.usage = event["usage"]
    if "prompt_progress" in event:
        reply.progress.append((now, event["prompt_progress"]["done"]))
    for choice in event.get("choices", ()):
        ids = choice.get("token_ids") or ()
        text = choice.get("text") or (choice.get("delta") or {}).get("content") or ""
        if ids or text:
            reply.arrivals.append((now, len(ids) or 1))
        reply.ids += ids
        reply.text += text
