"""A gRPC client made from proto/ alone, and a `troupe serve` to talk with."""

import os
import re
import sys
import tempfile
import threading

from tests.support import program, requirement

try:
    import grpc
    from google.rpc import error_details_pb2, status_pb2  # the public ones, not ours
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_tools import protoc
except ImportError:
    requirement.lacking("Python's grpcio, grpcio-tools and googleapis-common-protos")

PROTO = os.path.join(program.SOURCE, "proto")
PORTS = ("http", "grpc", "admin", "ops")
_FILES = ("troupe/inference/v1/inference.proto", "troupe/admin/v1/cluster.proto")


def _generate():
    """Python code of our .proto files, importable from now on."""
    folder = tempfile.TemporaryDirectory(prefix="troupe-proto-")
    known = os.path.join(os.path.dirname(protoc.__file__), "_proto")  # google/protobuf/*.proto
    words = ["protoc", f"-I{PROTO}", f"-I{known}", f"--python_out={folder.name}"]
    files = [os.path.join(PROTO, name) for name in _FILES]
    if protoc.main([*words, f"--grpc_python_out={folder.name}", *files]) != 0:
        raise RuntimeError("protoc cannot read proto/")
    sys.path.insert(0, folder.name)
    return folder


_GENERATED = _generate()  # lives as long as this module

from troupe.admin.v1 import cluster_pb2, cluster_pb2_grpc  # noqa: E402
from troupe.inference.v1 import inference_pb2, inference_pb2_grpc  # noqa: E402

pb = inference_pb2
admin_pb = cluster_pb2
INFERENCE = "troupe.inference.v1.InferenceService"
ADMIN = "troupe.admin.v1.ClusterService"


class Failure:
    """An RpcError taken apart: code, message, trailers and google.rpc details by their name."""

    def __init__(self, error):
        self.code = error.code()
        self.message = error.details()
        self.trailers = dict(error.trailing_metadata() or ())
        self.details = {}
        status = status_pb2.Status.FromString(self.trailers.get("grpc-status-details-bin", b""))
        self.status = status
        for packed in status.details:
            name = packed.TypeName().rsplit(".", 1)[-1]
            self.details[name] = getattr(error_details_pb2, name)()
            packed.Unpack(self.details[name])

    @property
    def reason(self):
        return self.details["ErrorInfo"].reason

    @property
    def metadata(self):
        return dict(self.details["ErrorInfo"].metadata)

    @property
    def fields(self):
        return [violation.field for violation in self.details["BadRequest"].field_violations]


class Served:
    """A running `troupe serve` on free ports; stops it at the end."""

    def __init__(self, *flags, env=None):
        ports = [word for port in PORTS for word in (f"--{port}-listen", "127.0.0.1:0")]
        self.process = program.start("serve", *ports, *flags, env=env)
        self.log = []
        self._started = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._started.wait(program.TIMEOUT_S) or "ops" not in self.addresses:
            self.process.kill()
            raise AssertionError("troupe serve did not start: " + "".join(self.log))
        self.channel = self.connect()

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line.decode())
            if line.startswith(b"ops"):
                self._started.set()
        self._started.set()

    @property
    def addresses(self):
        return dict(re.findall(r"^(HTTP|gRPC|admin|ops) +(\S+)$", "".join(self.log), re.M))

    @property
    def address(self):
        return self.addresses["gRPC"]

    @property
    def url(self):
        """Of the HTTP port: http://host:port."""
        return self.addresses["HTTP"]

    def connect(self, **options):
        """A new channel to the public port."""
        limits = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        limits += [(name.replace("__", "."), value) for name, value in options.items()]
        return grpc.insecure_channel(self.address, options=limits)

    @property
    def inference(self):
        return inference_pb2_grpc.InferenceServiceStub(self.channel)

    @property
    def admin(self):
        channel = grpc.insecure_channel(self.addresses["admin"])
        return cluster_pb2_grpc.ClusterServiceStub(channel)

    def health(self, service=INFERENCE):
        stub = health_pb2_grpc.HealthStub(self.channel)
        request = health_pb2.HealthCheckRequest(service=service)
        status = stub.Check(request, timeout=program.TIMEOUT_S).status
        return health_pb2.HealthCheckResponse.ServingStatus.Name(status)

    def stop(self):
        """SIGTERM; gives back the exit code."""
        self.channel.close()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.stdin.close()
        self.process.stdout.close()
        code = self.process.wait(program.TIMEOUT_S)
        self._reader.join(program.TIMEOUT_S)
        self.process.stderr.close()
        return code


def request(text=None, ids=None, messages=None, **fields):
    """A GenerateRequest; sampling parameters are keyword arguments."""
    own = ("model", "request_id", "include_prompt_progress", "priority", "cache_salt",
           "resume_position")
    top = {key: fields.pop(key) for key in own if key in fields}
    made = pb.GenerateRequest(sampling=pb.SamplingParams(**fields), **top)
    if text is not None:
        made.text = text
    if ids is not None:
        made.token_ids.ids.extend(ids)
        made.token_ids.SetInParent()
    for role, content in messages or ():
        made.chat.messages.add(role=role, content=content)
    return made


def unary(served, asked, **options):
    """The only choice of a GenerateUnary, and the whole response."""
    whole = served.inference.GenerateUnary(
        pb.GenerateUnaryRequest(request=asked), timeout=program.TIMEOUT_S, **options
    )
    return whole.choices[0], whole


class Joined:
    """A stream put together."""

    def __init__(self, events):
        self.text, self.ids, self.logprobs, self.progress = "", [], [], []
        self.prompt_logprobs, self.choices = [], {}
        self.started = self.finished = None
        self.kinds = []
        for event in events:
            kind = event.WhichOneof("event")
            self.kinds.append(kind)
            if kind == "started":
                self.started = event.started
            elif kind == "delta":
                self.choices.setdefault(event.delta.index, pb.Choice()).text += event.delta.text
                self.text += event.delta.text
                self.ids += event.delta.token_ids
                self.logprobs += [entry.logprob for entry in event.delta.logprobs]
            elif kind == "prompt_progress":
                self.progress.append((event.prompt_progress.done, event.prompt_progress.total))
            elif kind == "prompt_logprobs":
                self.prompt_logprobs += event.prompt_logprobs.tokens
            else:
                self.finished = event.finished
                choice = self.choices.setdefault(event.finished.index, pb.Choice())
                choice.finish_reason = event.finished.finish_reason


def stream(served, asked, **options):
    options.setdefault("timeout", program.TIMEOUT_S)
    return Joined(served.inference.Generate(asked, **options))


def failure_of(call, *words, **options):
    """The Failure of a call that must fail; streams are read to their end."""
    try:
        answer = call(*words, **options)
        if hasattr(answer, "__next__"):
            list(answer)
    except grpc.RpcError as error:
        return Failure(error)
    raise AssertionError("the call went well")
