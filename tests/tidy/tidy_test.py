#!/usr/bin/env python3
"""Shows that the tidy test can fail: every rule meets text that breaks it and text that is fine."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from tests.tidy import cpp_text, dependencies, rules, tidy  # noqa: E402

GOOD_HEADER = """// Vocabulary of the test: a file that breaks no rule at all.
#pragma once

#include <vector>

#include "core/expected.hpp"

namespace troupe {
inline int twice(int x) { return 2 * x; }
}  // namespace troupe
"""
FIRST = "// A file whose first line says what it is for.\n"


def problems(path, text):
    return "\n".join(rules.problems_of(path, text))


class TidyTest(unittest.TestCase):
    def check(self, path, text, wanted):
        self.assertIn(wanted, problems(path, text))

    def test_accepts_a_good_header(self):
        self.assertEqual(problems("model/gate.hpp", GOOD_HEADER), "")

    def test_finds_a_long_file(self):
        self.check("model/a.cpp", FIRST + "int a;\n" * 500, "file has 501 lines")
        self.assertEqual(problems("kernels/a.cpp", FIRST + "int a;\n" * 600), "")
        self.check("kernels/a.cpp", FIRST + "int a;\n" * 700, "file has 701 lines")

    def test_finds_a_long_function(self):
        body = "  x += 1;\n"
        self.check("model/a.cpp", FIRST + "int f() {\n" + body * 69 + "}\n", "function of 71 lines")
        self.assertEqual(problems("model/a.cpp", FIRST + "int f() {\n" + body * 68 + "}\n"), "")
        device = FIRST + "__global__ void f() {\n" + body * 100 + "}\n"
        self.assertEqual(problems("kernels/cuda/a.cu", device), "")

    def test_finds_a_long_python_function(self):
        text = '"""A module of the test."""\ndef f():\n' + "    x = 1\n" * 70
        self.check("tests/e2e/a.py", text, "function f has 71 lines")

    def test_finds_long_lines(self):
        self.check("model/a.cpp", FIRST + "// " + "x" * 98 + "\n", "line has 101 columns")

    def test_finds_a_file_that_does_not_say_what_it_is_for(self):
        self.check("model/a.cpp", "#include <vector>\n", "first line")
        self.check("deploy/a.sh", "#!/bin/sh\nset -e\n", "first line")
        self.check("model/CMakeLists.txt", "troupe_library(troupe_model)\n", "first line")

    def test_finds_a_header_without_pragma_once(self):
        self.check("model/a.hpp", FIRST + "int a;\n", "#pragma once")

    def test_finds_includes_against_the_direction(self):
        for path, include in (
            ("core/a.cpp", '"kernels/math.hpp"'),
            ("kernels/a.cpp", '"model/gate.hpp"'),
            ("model/a.cpp", '"actors/session.hpp"'),
            ("transport/a.cpp", '"model/gate.hpp"'),
            ("proto/a.cpp", '"core/expected.hpp"'),
            ("actors/a.cpp", '"services/cli/main.hpp"'),
            ("services/a.cpp", '"tests/support/x.hpp"'),
        ):
            self.check(path, FIRST + f"#include {include}\n", "must not depend on")

    def test_finds_includes_that_are_not_from_the_root(self):
        for include in ('"gate.hpp"', '"../core/expected.hpp"', '"gate/top_k.hpp"'):
            self.check(
                "model/a.cpp", FIRST + f"#include {include}\n", "not from the repository root"
            )

    def test_finds_libraries_outside_their_folder(self):
        for path, header in (
            ("model/a.cpp", "caf/all.hpp"),
            ("actors/a.cpp", "ucp/api/ucp.h"),
            ("actors/a.cpp", "grpcpp/grpcpp.h"),
            ("model/a.cpp", "httplib.h"),
            ("actors/a.cpp", "prometheus/counter.h"),
            ("model/a.cpp", "CLI/CLI.hpp"),
            ("model/a.cpp", "hwy/highway.h"),
            ("actors/a.cpp", "nlohmann/json.hpp"),
            ("kernels/a.cpp", "pcre2.h"),
            ("model/a.cpp", "gtest/gtest.h"),
        ):
            self.check(path, FIRST + f"#include <{header}>\n", "only")
        self.check("model/a.cpp", FIRST + "#include <boost/any.hpp>\n", "of no library")

    def test_finds_libraries_in_headers(self):
        header = FIRST + "#pragma once\n#include <nlohmann/json.hpp>\n"
        self.check("model/a.hpp", header, ".cpp files only")
        self.assertEqual(problems("tests/support/a.hpp", header), "")
        highway = FIRST + "#pragma once\n#include <hwy/highway.h>\n"
        self.check("kernels/a.hpp", highway, ".cpp files only")
        self.assertNotIn("only", problems("kernels/cpu/a-inl.hpp", highway))

    def test_finds_machine_headers_in_core_and_proto(self):
        self.check("core/a.cpp", FIRST + "#include <unistd.h>\n", "standard library only")
        self.check("proto/a.cpp", FIRST + "#include <sys/mman.h>\n", "standard library only")
        self.assertEqual(problems("transport/a.cpp", FIRST + "#include <unistd.h>\n"), "")

    def test_finds_libm(self):
        cmath = FIRST + "#include <cmath>\n"
        for call in ("std::exp(x)", "expf(x)", "std::pow(x, y)", "::sin(x)", "__builtin_cosf(x)"):
            self.check("kernels/a.cpp", cmath + f"float y = {call};\n", "libm's")
        for call in ("exp_f32(x)", "table.log(x)", "std::sqrt(x)", "hn::exp(x)"):
            self.assertEqual(problems("model/a.cpp", FIRST + f"float y = {call};\n"), "")
        self.assertEqual(problems("model/a.cpp", FIRST + "// like std::exp(x)\n"), "")

    def test_finds_names_that_say_nothing(self):
        self.check("model/string_utils.cpp", FIRST, "says nothing")
        self.check("common/a.cpp", FIRST, "says nothing")
        self.check("model/a.cpp", FIRST + "class PageManager {};\n", "says nothing")

    def test_finds_a_long_main(self):
        text = FIRST + "int main() {}\n" + "int a;\n" * 150
        self.check("services/cli/main.cpp", text, "a file with main()")

    def test_finds_sleeps_in_tests(self):
        sleep = "std::this_thread::sleep_for(1ms);\n"
        self.check("tests/actor/a_test.cpp", FIRST + sleep, "must not sleep")
        self.check(
            "tests/e2e/a.py", '"""A module of the test."""\ntime.sleep(1)\n', "must not sleep"
        )
        self.check(
            "tests/e2e/a.sh", "# A script of the test.\nserver & sleep 3\n", "must not sleep"
        )
        self.assertEqual(problems("tests/support/poll_until.hpp", GOOD_HEADER + "// " + sleep), "")

    def test_finds_the_name_of_a_workplace(self):
        for place in ("/work" + "/shared/x", "/root" + "/.cache", ".." + "/shared" + "/spec"):
            self.check("docs/a.md", f"see {place}\n", "names a workplace")

    def test_finds_links_against_the_direction(self):
        text = "# Moves bytes.\ntroupe_library(troupe_transport LINK troupe_model)\n"
        self.check("transport/CMakeLists.txt", text, "must not link troupe_model")
        self.assertEqual(
            list(
                dependencies.link_problems("model", "troupe_library(troupe_model LINK troupe_core)")
            ),
            [],
        )

    def test_finds_compile_commands_that_change_the_arithmetic(self):
        def of(flags):
            entry = {"file": "a.cpp", "command": f"g++ {flags} -c a.cpp"}
            return list(tidy.compile_command_problems([entry]))

        self.assertEqual(of("-O3 -ffp-contract=off"), [])
        self.assertEqual(len(of("-O3")), 1)
        self.assertEqual(len(of("-ffp-contract=off -ffp-contract=fast")), 1)
        self.assertEqual(len(of("-ffp-contract=off -ffast-math")), 1)
        self.assertEqual(len(list(tidy.compile_command_problems([]))), 1)


class FunctionsTest(unittest.TestCase):
    def headers(self, text):
        return [header for _, _, header in cpp_text.functions(text)]

    def test_sees_methods_constructors_and_lambdas_at_file_scope(self):
        text = """
        namespace a::b {
        #define BROKEN {{{
        class C : public D<int> {
         public:
          explicit C(int x) : x_{x}, y_(f({1, 2})) { go(); }
          int get() const noexcept override { if (x_) { return '{'; } return R"(}})"[0]; }
          int array[2] = {1, 2};
        };
        enum class E { kOne, kTwo };
        const auto kTable = make({1, 2});
        template <typename T> std::vector<T> make(T (*f)(int)) { return {f(1)}; }
        }
        int main() { return 0; }
        """
        found = self.headers(text)
        self.assertEqual(len(found), 4, found)
        self.assertTrue(found[0].endswith("explicit C(int x) : x_{x}, y_(f({1, 2}))"), found[0])
        self.assertTrue(found[3].endswith("int main()"), found[3])

    def test_is_not_confused_by_macros_before_a_namespace(self):
        text = (
            "CAF_BEGIN(x, 1)\n CAF_ADD(y)\nCAF_END(x)\nnamespace t {\nint f() {}\nint g() {}\n}\n"
        )
        self.assertEqual(len(self.headers(text)), 2)


if __name__ == "__main__":
    unittest.main()
