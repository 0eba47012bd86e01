"""Who may include and link what: the dependency direction of docs/architecture.md as data."""

import re

# Folder -> folders it may include from and link with.
ALLOWED_FOLDERS = {
    "core": {"core"},
    "kernels": {"kernels", "core"},
    "model": {"model", "kernels", "core"},
    "proto": {"proto"},
    "transport": {"transport", "proto", "core"},
    "actors": {"actors", "model", "kernels", "transport", "proto", "core"},
    "services": {"services", "actors", "model", "kernels", "transport", "proto", "core"},
    "tests": {"tests", "services", "actors", "model", "kernels", "transport", "proto", "core"},
    "examples": {
        "examples",
        "services",
        "actors",
        "model",
        "kernels",
        "transport",
        "proto",
        "core",
    },
}

# Library -> (pattern of <header>, folders that may include it, headers (.hpp) allowed as well).
LIBRARIES = {
    "CAF": (r"caf/", {"actors", "services", "tests", "examples"}, True),
    "UCX": (r"uc[pts]/|ucm/", {"transport"}, True),
    "gRPC": (r"grpc|google/protobuf", {"services", "tests"}, True),
    "generated code of proto/": (r"(?:troupe|google/rpc)/.*\.pb\.h$", {"services", "tests"}, True),
    "HTTP": (r"httplib", {"services", "tests"}, True),
    "OpenSSL": (r"openssl/", {"services"}, True),
    "Prometheus": (r"prometheus/", {"services", "tests"}, True),
    "CLI11": (r"CLI/", {"services"}, True),
    "logging": (r"spdlog/|fmt/", {"services"}, True),
    "yaml-cpp": (r"yaml-cpp/", {"services", "tests"}, False),
    "Highway": (r"hwy/", {"kernels"}, False),
    "nlohmann-json": (r"nlohmann/", {"model", "services", "tests"}, False),
    "PCRE2": (r"pcre2", {"model", "services", "tests"}, False),
    "GoogleTest": (r"g(?:test|mock)/", {"tests"}, True),
    "Google Benchmark": (r"benchmark/", {"tests"}, True),
}

STANDARD_HEADERS = set(
    """algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv
    chrono cinttypes climits clocale cmath compare complex concepts condition_variable coroutine
    csetjmp csignal cstdarg cstddef cstdint cstdio cstdlib cstring ctime cuchar cwchar cwctype
    deque exception execution filesystem format forward_list fstream functional future
    initializer_list iomanip ios iosfwd iostream istream iterator latch limits list locale map
    memory memory_resource mutex new numbers numeric optional ostream queue random ranges ratio
    regex scoped_allocator semaphore set shared_mutex source_location span sstream stack stdexcept
    stop_token streambuf string string_view strstream syncstream system_error thread tuple
    type_traits typeindex typeinfo unordered_map unordered_set utility valarray variant vector
    version""".split()
)

# Headers of the operating system and the compiler, for the folders that touch the machine.
MACHINE_HEADER = re.compile(
    r"(?:sys|linux|arpa|netinet|net|sanitizer)/\w+\.h$"
    r"|(?:unistd|fcntl|pthread|sched|signal|poll|dlfcn|netdb|termios|cpuid|immintrin|xmmintrin"
    r"|x86intrin|getopt|spawn|errno|elf|link|execinfo|malloc)\.h$"
)
STANDARD_ONLY = {"core", "proto"}

FOLDER_OF_TARGET = dict.fromkeys(("runtime", "prompt", "gateway", "client", "protos"), "services")
TARGET_OF_FOLDER = re.compile(
    r"\btroupe_(core|kernels|model|proto|transport|actors|%s)\b" % "|".join(FOLDER_OF_TARGET)
)


def include_problem(path, folder, quoted, header):
    """Why `#include` of `header` in `path` breaks the direction, or None."""
    if quoted and not header.startswith("hwy/"):
        first = header.split("/")[0]
        if header.startswith(".") or first not in ALLOWED_FOLDERS or "/" not in header:
            return f'include "{header}" is not from the repository root'
        if first not in ALLOWED_FOLDERS.get(folder, set()):
            return f'{folder}/ must not depend on {first}/ (include "{header}")'
        return None
    for library, (pattern, folders, in_headers) in LIBRARIES.items():
        if not re.match(pattern, header):
            continue
        if folder not in folders:
            return f"{library} (<{header}>) belongs in {', '.join(sorted(folders))} only"
        if (
            folder != "tests"
            and not in_headers
            and path.endswith(".hpp")
            and not path.endswith("-inl.hpp")
        ):
            return f"{library} (<{header}>) belongs in .cpp files only"
        return None
    if header in STANDARD_HEADERS:
        return None
    if folder in STANDARD_ONLY:
        return f"{folder}/ uses the standard library only (<{header}>)"
    if not MACHINE_HEADER.match(header):
        return f"<{header}> is of no library that tests/tidy/dependencies.py lists"
    return None


def link_problems(folder, text):
    """Problems of the targets that the CMakeLists.txt of `folder` links."""
    text = re.sub(r"#[^\n]*", "", text)
    for match in re.finditer(r"\b(?:troupe_library|target_link_libraries)\s*\(([^)]*)\)", text):
        for name in TARGET_OF_FOLDER.findall(match.group(1)):
            linked = FOLDER_OF_TARGET.get(name, name)
            if linked not in ALLOWED_FOLDERS[folder]:
                yield f"{folder}/ must not link troupe_{name}"
        if folder != "tests" and re.search(r"\bGTest::|\bbenchmark::", match.group(1)):
            yield f"{folder}/ must not link test libraries"
