// Assertions on the text of `/metrics`.
#pragma once
#include <gtest/gtest.h>

#include <string>

namespace troupe {

/// Fails unless `line` is one of the lines of `text`.
inline void expect_line(const std::string& text, const std::string& line) {
  EXPECT_NE(("\n" + text).find("\n" + line + "\n"), std::string::npos) << line << "\nin\n" << text;
}

}  // namespace troupe
