"""Reads C++ text without a compiler: blanks comments and literals, finds functions."""

import re

_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^()\\ ]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'",
    re.S,
)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", re.M)
_SCOPE_HEADER = re.compile(
    r"\bnamespace\b[^(){};]*$|\bextern\s*$"
    r"|^(?:[^()]|\([^()]*\))*\b(?:class|struct|union|enum)\b(?![^{}]*\)\s*\w*\s*$)[^{};]*$"
)
_NOT_BODY = re.compile(r"\)\s*:(?!:)[^;]*[\w>]\s*$")
_QUALIFIER = re.compile(r"\b(?:const|noexcept|override|final|mutable|try)\s*$")


def _blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def without_comments(text):
    """`text` with comments and literals replaced by spaces; lines and columns stay."""
    return _TOKEN.sub(_blank, text)


def code_only(text):
    """`text` without comments, literals and preprocessor lines; lines and columns stay."""
    return _DIRECTIVE.sub(_blank, without_comments(text))


def _kind_of_brace(header):
    """What the brace after `header` opens: 'scope', 'function' or 'initialiser'."""
    header = header.strip()
    if _SCOPE_HEADER.search(header) and not re.search(r"\boperator\b", header):
        return "scope"
    if "(" not in header:
        return "initialiser"
    if _NOT_BODY.search(header) and not _QUALIFIER.search(header):
        return "initialiser"  # a member initialiser: Foo() : member_{...}
    if re.search(r"(?<![=!<>])=\s*[\w:<>, ]*$", header):
        return "initialiser"  # int x[] = {...}; auto v = Type{...}
    return "function"


def functions(text):
    """Yields (first line, last line, header) of every outermost function body; lines from 1."""
    code = code_only(text)
    header_start, header_at_open, depth_in_function, stack = 0, "", 0, []
    parens = 0
    for i, char in enumerate(code):
        if depth_in_function:
            depth_in_function += (char == "{") - (char == "}")
            if depth_in_function == 0:
                start, header = stack.pop()
                yield code.count("\n", 0, start) + 1, code.count("\n", 0, i) + 1, header
                header_start = i + 1
        elif char == "(":
            parens += 1
        elif char == ")":
            parens = max(0, parens - 1)
        elif char == ";" and parens == 0:
            header_start = i + 1
        elif char == "{":
            header_at_open = code[header_start:i]
            kind = "initialiser" if parens else _kind_of_brace(header_at_open)
            if kind == "function":
                skip = len(header_at_open) - len(header_at_open.lstrip())
                stack.append((header_start + skip, " ".join(header_at_open.split())))
                depth_in_function = 1
            else:
                stack.append(kind)
                if kind == "scope":
                    header_start = i + 1
        elif char == "}":
            kind = stack.pop() if stack else "scope"
            if kind == "scope":
                header_start = i + 1
