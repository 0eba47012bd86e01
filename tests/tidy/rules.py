"""The rules of docs/style.md that a program can check: each yields (line, problem)."""

import ast
import os
import re

from tests.tidy import cpp_text, dependencies

CPP = (".cpp", ".hpp", ".h", ".cu", ".cuh", ".cc")
HEADERS = (".hpp", ".h", ".cuh")
SCRIPTS = (".py", ".sh")
FILE_LINES_MAX = 500
KERNEL_FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 70
DEVICE_FUNCTION_LINES_MAX = 120
MAIN_LINES_MAX = 150
COLUMNS_MAX = 100

# Kept byte for byte as they were when they made the goldens.
UNCHANGED = ("tests/goldens/tools/make_model.py", "tests/goldens/tools/oracle.py")

_FORBIDDEN_NAMES = {"util", "utils", "common", "helper", "helpers", "manager", "misc"}
_FORBIDDEN_TYPE = re.compile(r"\b(?:class|struct)\s+(\w*(?:Util|Helper|Manager|Misc)s?)\b")
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
# Without <cmath> a bare exp(x) can only be a function of ours.
_LIBM_QUALIFIED = re.compile(
    r"(?<![\w.>:])(?:std::|::|__builtin_)"
    r"((?:exp|exp2|expm1|log|log2|log10|log1p|sin|cos|tan|sinh|cosh|tanh|pow)[fl]?)\s*\("
)
_LIBM = re.compile(
    r"(?<![\w.>:])(?:std::|::|__builtin_)?"
    r"((?:exp|exp2|expm1|log|log2|log10|log1p|sin|cos|tan|sinh|cosh|tanh|pow)[fl]?)\s*\("
)
_SLEEP = re.compile(
    r"\b(?:sleep_for|sleep_until|usleep|nanosleep|time\.sleep|asyncio\.sleep)\b"
    r"|(?<![\w.])sleep\s*\("
)
_SHELL_SLEEP = re.compile(r"(?:^|[;&|]|\bdo\b)\s*sleep\s+[0-9]", re.M)
SLEEP_ALLOWED_IN = re.compile(r"tests/support/poll_until\.(?:hpp|cpp|py)$")
# Pieces are joined here so that this file does not contain what it looks for.
_WORKPLACE = re.compile(
    "|".join(
        (
            r"(?<![\w.])/" + r"(?:work|root)/",
            r"(?<![\w.])/" + r"home/\w+/",
            r"\.\./" + r"shared\b",
            r"\bshared/" + r"(?:design|product|style|spec|goldens|tools|models|hooks)\b",
            r"(?:py" + r"pi|pythonhosted|debian)\.org\b(?!/(?:licen[cs]e|legal))",
            r"\bregistry\." + r"\w+\.\w+",
        )
    )
)


def is_kernel(path):
    return path.startswith("kernels/")


def file_size(path, text):
    """Files stay short enough to read in one sitting."""
    lines = text.count("\n") + (not text.endswith("\n"))
    limit = KERNEL_FILE_LINES_MAX if is_kernel(path) else FILE_LINES_MAX
    if lines > limit:
        yield limit + 1, f"file has {lines} lines, the limit is {limit}"
    if path.startswith("services/") and re.search(r"^int main\(", text, re.M):
        if lines > MAIN_LINES_MAX:
            yield 1, f"a file with main() has {lines} lines, the limit is {MAIN_LINES_MAX}"


def line_width(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > COLUMNS_MAX:
            yield number, f"line has {len(line)} columns, the limit is {COLUMNS_MAX}"


def cpp_function_size(path, text):
    for first, last, header in cpp_text.functions(text):
        device = "__global__" in header or "__device__" in header
        limit = DEVICE_FUNCTION_LINES_MAX if device else FUNCTION_LINES_MAX
        if last - first + 1 > limit:
            size = last - first + 1
            yield first, f"function of {size} lines, the limit is {limit}: {header[:60]}"


def python_function_size(path, text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield node.lineno, f"function {node.name} has {lines} lines"


def first_line(path, text):
    """The first line says what the file is for."""
    lines = text.split("\n", 2)
    start = 1 if lines[0].startswith("#!") and len(lines) > 1 else 0
    mark = r'(?:r?"""|#\s*)' if path.endswith(SCRIPTS) or path == ".ci/run" else r"//\s*"
    if path.endswith(".cmake") or os.path.basename(path) == "CMakeLists.txt":
        mark = r"#\s*"
    if not re.match(mark + r"\S.{14,}", lines[start]):
        yield start + 1, "the first line does not say what the file is for"


def pragma_once(path, text):
    if path.endswith(HEADERS) and not re.search(r"^#pragma once$", text, re.M):
        yield 1, "header without #pragma once"


def includes(path, text):
    folder = path.split("/")[0]
    for match in _INCLUDE.finditer(text):
        problem = dependencies.include_problem(path, folder, match.group(1) == '"', match.group(2))
        if problem:
            yield text.count("\n", 0, match.start()) + 1, problem


def libm(path, text):
    """kernels/ and model/ must not depend on what libm computes on this CPU."""
    if path.split("/")[0] not in ("kernels", "model"):
        return
    pattern = _LIBM if re.search(r"#include <(?:cmath|math\.h)>", text) else _LIBM_QUALIFIED
    for match in pattern.finditer(cpp_text.without_comments(text)):
        line = text.count("\n", 0, match.start()) + 1
        yield line, f"libm's {match.group(1)}(): use kernels/math.hpp"


def type_names(path, text):
    for match in _FORBIDDEN_TYPE.finditer(cpp_text.without_comments(text)):
        yield text.count("\n", 0, match.start()) + 1, f"type name {match.group(1)} says nothing"


def path_names(path, text):
    for part in path.split("/"):
        words = set(re.split(r"[_.\-]", part.lower()))
        if words & _FORBIDDEN_NAMES:
            yield 1, f"name '{part}' says nothing about what is inside"


def sleeps(path, text):
    """A test waits for a condition with a deadline, never for time to pass."""
    if not path.startswith("tests/") or SLEEP_ALLOWED_IN.match(path):
        return
    if path.startswith("tests/tidy/"):
        return
    pattern = _SHELL_SLEEP if path.endswith(".sh") else _SLEEP
    code = cpp_text.without_comments(text) if path.endswith(CPP) else text
    for match in pattern.finditer(code):
        yield text.count(
            "\n", 0, match.start()
        ) + 1, "a test must not sleep: tests/support/poll_until"


def workplace(path, text):
    """Nothing committed may name the place where it was written."""
    for match in _WORKPLACE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, f"names a workplace: '{match.group(0)}'"


def cmake_links(path, text):
    folder = path.split("/")[0]
    if os.path.basename(path) == "CMakeLists.txt" and folder in dependencies.ALLOWED_FOLDERS:
        for problem in dependencies.link_problems(folder, text):
            yield 1, problem


def rules_for(path):
    """The rules that apply to a file, from its name alone."""
    rules = [path_names, workplace]
    cmake = path.endswith(".cmake") or os.path.basename(path) == "CMakeLists.txt"
    script = path.endswith(SCRIPTS) or path == ".ci/run"
    if path.endswith(CPP):
        rules += [cpp_function_size, pragma_once, includes, libm, type_names, sleeps]
    if path.endswith(".py") and path not in UNCHANGED:
        rules += [python_function_size]
    if script:
        rules += [sleeps]
    if cmake:
        rules += [cmake_links]
    if (path.endswith(CPP) or script or cmake) and path not in UNCHANGED:
        rules += [file_size, line_width, first_line]
    return rules


def problems_of(path, text):
    """All problems of one file as 'path:line: problem'."""
    return [f"{path}:{line}: {what}" for rule in rules_for(path) for line, what in rule(path, text)]
