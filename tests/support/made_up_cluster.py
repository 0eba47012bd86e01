"""A cluster that a test makes up: answers of /cluster/status as it wants them."""

import copy
import json

STATUS = "**/cluster/status"
BOARD = "#board:not([hidden])"  # what the page shows once it has had an answer


def member(role, index, state="ACTIVE", experts=None, **fields):
    made = {"role": role, "index": index, "state": state, "load_progress": 1.0, "queued_rows": 0,
            "oldest_work_s": 0.0, "silent_s": 0.1, "version": "1.2.3", **fields}
    return {**made, "experts": {"begin": experts[0], "end": experts[1]}} if experts else made


class MadeUpCluster:
    """`ranks` expert shards that divide the experts evenly, a gateway, an attention shard and a
    router. A test changes `status` and `refusal` as it likes; `asked` notes the API keys."""

    def __init__(self, layers=(1, 2, 3), experts=16, ranks=4):
        each = experts // ranks
        held = [(rank * each, (rank + 1) * each) for rank in range(ranks)]
        self.status = {
            "model": "made-up", "system_fingerprint": "fp_0123456789abcdef", "term": 2, "epoch": 7,
            "serving": True, "expert_ranks": ranks, "experts": experts, "experts_per_token": 4,
            "layers": list(layers),
            "members": [member("gateway", 7), member("attention", 0), member("router", 0)]
            + [member("expert", rank, experts=held[rank]) for rank in range(ranks)],
            "loads": [{"rank": rank, "first": begin, "count": each,
                       "pairs": [[0] * each for _ in layers]}
                      for rank, (begin, _) in enumerate(held)],
        }
        self.refusal = None  # (status, message)
        self.key = None  # the only one that is let in
        self.asked = []

    def expert(self, rank):
        """The member that is this rank."""
        return next(one for one in self.status["members"]
                    if (one["role"], one["index"]) == ("expert", rank))

    def pairs(self, rank):
        """Its counts, [layers][experts of the rank]."""
        return next(load for load in self.status["loads"] if load["rank"] == rank)["pairs"]

    def compute(self, pairs):
        """Adds to every count what `pairs(layer number, expert)` gives."""
        for load in self.status["loads"]:
            for layer, row in enumerate(load["pairs"]):
                for i in range(len(row)):
                    row[i] += pairs(layer, load["first"] + i)

    def lose(self, rank):
        """It is LOST and says nothing more."""
        self.expert(rank)["state"] = "LOST"
        self.silence(rank)
        self.status["serving"] = False

    def silence(self, rank):
        self.status["loads"] = [load for load in self.status["loads"] if load["rank"] != rank]

    def copy(self):
        """The status as it is now."""
        return copy.deepcopy(self.status)

    def answer(self, route):
        """For Playwright's page.route."""
        key = route.request.headers.get("authorization", "").removeprefix("Bearer ")
        self.asked.append(key)
        code, message = self.refusal or (200, "")
        if self.key is not None and key != self.key:
            code, message = (403, "The key may not.") if key else (401, "There is no key.")
        body = self.status if code == 200 else {"error": {"message": message, "code": "made_up"}}
        route.fulfill(status=code, body=json.dumps(body), content_type="application/json")

    def serve_to(self, page):
        page.route(STATUS, self.answer)
