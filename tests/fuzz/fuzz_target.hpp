// What a fuzz target gives to the driver: one function under test and the inputs that mutations
// start from.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// Runs the code under test on any bytes; returns 0. Crashes, sanitizer reports and aborts are the
/// findings.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

/// Well-formed inputs, small (a few hundred bytes), so that mutations reach deep quickly. Not
/// empty.
std::vector<std::string> fuzz_seeds();
