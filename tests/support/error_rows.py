"""The table of errors that clients see, each row checked in full on both faces."""

import grpc

CODE = grpc.StatusCode
_INVALID, _RATE, _AWAY = "invalid_request_error", "rate_limit_error", "service_unavailable"

# code over HTTP: status, type, gRPC code, its reason, whether it is said when to come back
ROWS = {
    "invalid_json": (400, _INVALID, CODE.INVALID_ARGUMENT, "INVALID_FIELD", False),
    "invalid_value": (400, _INVALID, CODE.INVALID_ARGUMENT, "INVALID_FIELD", False),
    "unsupported_parameter": (400, _INVALID, CODE.UNIMPLEMENTED, "FIELD_NOT_SERVED", False),
    "context_length_exceeded": (
        400, _INVALID, CODE.INVALID_ARGUMENT, "CONTEXT_LENGTH_EXCEEDED", False,
    ),
    "tokenizer_missing": (400, _INVALID, CODE.FAILED_PRECONDITION, "TOKENIZER_MISSING", False),
    "chat_template_missing": (
        400, _INVALID, CODE.FAILED_PRECONDITION, "CHAT_TEMPLATE_MISSING", False,
    ),
    "invalid_api_key": (
        401, "authentication_error", CODE.UNAUTHENTICATED, "INVALID_API_KEY", False,
    ),
    "insufficient_permissions": (
        403, "permission_error", CODE.PERMISSION_DENIED, "INSUFFICIENT_PERMISSIONS", False,
    ),
    "model_not_found": (404, _INVALID, CODE.NOT_FOUND, "MODEL_NOT_FOUND", False),
    "slow_reader": (408, "timeout", CODE.RESOURCE_EXHAUSTED, "SLOW_READER", False),
    "operation_in_progress": (409, "conflict", CODE.ABORTED, "OPERATION_IN_PROGRESS", True),
    "request_too_large": (413, _INVALID, CODE.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", False),
    "queue_full": (429, _RATE, CODE.RESOURCE_EXHAUSTED, "QUEUE_FULL", True),
    "memory_exhausted": (429, _RATE, CODE.RESOURCE_EXHAUSTED, "MEMORY_EXHAUSTED", True),
    "rate_limit_exceeded": (429, _RATE, CODE.RESOURCE_EXHAUSTED, "RATE_LIMIT_EXCEEDED", True),
    "internal": (500, "server_error", CODE.INTERNAL, "INTERNAL", False),
    "model_loading": (503, _AWAY, CODE.UNAVAILABLE, "MODEL_LOADING", True),
    "draining": (503, _AWAY, CODE.UNAVAILABLE, "DRAINING", True),
    "service_lost": (503, _AWAY, CODE.UNAVAILABLE, "SERVICE_LOST", True),
    "expert_uncovered": (503, _AWAY, CODE.UNAVAILABLE, "EXPERT_UNCOVERED", True),
    "overloaded": (503, _AWAY, None, None, True),  # HTTP has it alone
    "deadline_exceeded": (504, "timeout", CODE.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", False),
}


class ErrorRows:
    """Assertions for a TestCase."""

    def is_row_over_http(self, code, answer):
        """`answer`: an openai_client.Answer."""
        status, kind, _, _, again = ROWS[code]
        self.assertEqual(answer.status, status, answer.body)
        error = answer.error
        self.assertEqual((error["type"], error["code"]), (kind, code), answer.body)
        self.assertTrue(error["message"])
        self.assertTrue(error["request_id"])
        self.assertEqual(answer.headers["x-request-id"], error["request_id"])
        self.assertEqual("retry-after" in answer.headers, again, answer.headers)
        if again:
            self.assertGreaterEqual(int(answer.headers["retry-after"]), 1)
        return answer

    def is_last_event(self, code, answer):
        """Of a stream that began well: `answer` ends with this row and no [DONE]."""
        self.assertEqual(answer.status, 200, answer.body)
        error = answer.events[-1]["error"]
        self.assertEqual((error["type"], error["code"]), (ROWS[code][1], code))
        self.assertTrue(error["message"])
        self.assertEqual(answer.headers["x-request-id"], error["request_id"])
        return answer

    def is_row_over_grpc(self, code, failed):
        """`failed`: a grpc_client.Failure."""
        _, _, grpc_code, reason, again = ROWS[code]
        self.assertEqual((failed.code, failed.reason), (grpc_code, reason), failed.message)
        self.assertEqual(failed.details["ErrorInfo"].domain, "troupe")
        self.assertTrue(failed.message)
        self.assertTrue(failed.metadata["request_id"])
        self.assertEqual(failed.trailers["x-request-id"], failed.metadata["request_id"])
        self.assertEqual("RetryInfo" in failed.details, again, failed.details)
        if again:
            wait = failed.details["RetryInfo"].retry_delay.ToTimedelta()
            self.assertGreater(wait.total_seconds(), 0)
        return failed
