"""Checks of schemathesis' that know what an OpenAPI document cannot say.

A request that fits the document may be refused only for one of EXCUSES: by code, the field that
the error names, and why no schema can say so.
"""

import re

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi.checks import positive_data_acceptance

VOCABULARY = "takes token ids from 0 to"  # the model's, which the document does not know
EXCUSES = (
    # code, field, words of the message
    ("context_length_exceeded", ".*", ""),  # the model's, and how many tokens a text has
    ("unsupported_parameter", "best_of", ""),  # has to be n
    # The served model's chat template has no form for calls.
    ("unsupported_parameter", r"tools|messages\[\d+\]\.(tool_calls|tool_call_id|role)", ""),
    # Which texts are patterns, and which JSON is a schema that can be kept to.
    ("invalid_value", r"(guided_|structured_outputs\.|response_format\.).*", "cannot be kept to"),
    ("invalid_value", "(guided_|structured_outputs|response_format).*", "one form too many"),
    ("invalid_value", r"(prompt|tokens|(stop|allowed)_token_ids|logit_bias)\b.*", VOCABULARY),
    ("invalid_value", "(cache_salt|stop|bad_words).*", "bytes"),  # schemas count characters
    ("invalid_value", "n", "times the prompts"),
    ("invalid_value", "min_tokens", "max_"),  # no more than max_tokens
    ("invalid_value", "max_tokens", "from 1 to"),  # 0 goes with echo or prompt_logprobs
    ("invalid_value", "tool_choice", "has no tools|takes one of"),
)


def excused(error):
    """Whether one of EXCUSES is the reason of a refusal."""
    return any(
        error["code"] == code
        and re.fullmatch(field, error["param"] or "")
        and re.search(words, error["message"])
        for code, field, words in EXCUSES
    )


@schemathesis.check
def what_fits_is_accepted(ctx, response, case):
    """positive_data_acceptance, but for what no document can say."""
    try:
        positive_data_acceptance(ctx, response, case)
    except RejectedPositiveData:
        if response.status_code != 400 or not excused(response.json()["error"]):
            raise
