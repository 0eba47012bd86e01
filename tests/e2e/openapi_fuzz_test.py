"""Schemathesis makes requests from the OpenAPI document: none may break the server or its word.

    openapi_fuzz_test.py [--examples N] [--seed S]      N: random requests of each operation
"""

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile

from tests.support import grpc_client, ops, program, requirement
from tests.support.patience import patient

# what_fits_is_accepted is of tests/support/openapi_rules.py.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
    "negative_data_rejection",
    "what_fits_is_accepted",
    "unsupported_method",
)
REQUESTS_LEAST = 400
SHORT = {"max_tokens": 3, "stream": True}
STREAMS = {
    "/v1/completions": {"prompt": "In the", **SHORT},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Who?"}], **SHORT},
}


def run_schemathesis(url, given):
    """(exit code, output) of a run against the server at `url`."""
    start = ("import sys, tests.support.openapi_rules; from schemathesis.cli import schemathesis; "
             "sys.exit(schemathesis())")
    words = [sys.executable, "-c", start, "run", f"{url}/openapi.json"]
    words += ["--checks", ",".join(CHECKS), "--continue-on-failure", "--warnings", "off"]
    words += ["--max-examples", str(given.examples), "--seed", str(given.seed)]
    words += ["--request-timeout", str(patient(60)), "--suppress-health-check", "all"]
    with tempfile.TemporaryDirectory(prefix="troupe-fuzz-") as folder:
        done = subprocess.run(
            words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
    return done.returncode, done.stdout.decode(errors="replace")


def streams_fit(url):
    """Random requests seldom ask for a stream and are fine in all else."""
    schema = importlib.import_module("schemathesis").openapi.from_url(f"{url}/openapi.json")
    for path, body in STREAMS.items():
        answer = schema[path]["POST"].Case(body=body, media_type="application/json")
        answer.call_and_validate(timeout=program.TIMEOUT_S)


def check(served, given):
    streams_fit(served.url)
    code, output = run_schemathesis(served.url, given)
    print(output)
    sent = re.search(r"^ +(\d+) generated", output, re.M)
    assert code == 0, f"schemathesis ended with {code}, seed {given.seed}"
    assert sent and int(sent[1]) >= REQUESTS_LEAST, f"fewer than {REQUESTS_LEAST} requests"
    address = served.addresses["ops"]
    failed = ops.values(address, "troupe_gateway_requests_total", {"code": "500"})
    assert sum(failed) == 0, f"{sum(failed)} answers were 500"
    left = ops.total([address], "troupe_gateway_requests_in_flight")
    assert left == 0, f"{left} requests are still open"
    joined = grpc_client.stream(served, grpc_client.request(text="In the", max_tokens=4))
    assert joined.ids, "no answer afterwards"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if importlib.util.find_spec("schemathesis") is None:
        requirement.lacking("Python's schemathesis")
    served = grpc_client.Served()
    try:
        check(served, given)
    finally:
        code = served.stop()  # no server outlives a finding
    assert code == program.OK


if __name__ == "__main__":
    main()
