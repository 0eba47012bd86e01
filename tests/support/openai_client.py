"""The official OpenAI client in front of a running Troupe, and plain HTTP beside it."""

import http.client
import json
import urllib.parse

from tests.support import program, requirement

try:
    import httpx2 as httpx
    import openai
except ImportError:
    requirement.lacking("Python's openai")


def connect(url, key="none", **options):
    """A client without retries, so that a test sees every error."""
    options = {"max_retries": 0, "timeout": program.TIMEOUT_S, **options}
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, **options)


def httpx_client(context):
    """What the client sends its requests with, for a server with this SSL context."""
    return httpx.Client(verify=context)


def connect_async(url, key="none"):
    return openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=program.TIMEOUT_S
    )


class Answer:
    """Status, headers and body of a plain HTTP request."""

    def __init__(self, response, body):
        self.status, self.body = response.status, body
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]

    @property
    def events(self):
        """Of an event stream: the JSON objects, and "[DONE]" if it came."""
        lines = self.body.decode().split("\n\n")
        assert lines[-1] == "", lines[-1]
        assert all(line.startswith("data: ") for line in lines[:-1]), lines
        texts = [line[len("data: "):] for line in lines[:-1]]
        return [text if text == "[DONE]" else json.loads(text) for text in texts]


def ask(url, path, body=None, method=None, headers=(), timeout=program.TIMEOUT_S):
    """One request on a connection of its own. `body`: bytes, or what becomes JSON."""
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=timeout)
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **dict(headers)} if body is not None else {}
    try:
        try:
            connection.request(
                method or ("GET" if body is None else "POST"), path, body, {**sent, **dict(headers)}
            )
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all of it was sent: the answer is there to be read
        response = connection.getresponse()
        return Answer(response, response.read())
    finally:
        connection.close()
