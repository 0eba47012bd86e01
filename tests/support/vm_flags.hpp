// What the kernel was told about a part of this process' memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>
#include <sstream>
#include <string>

namespace troupe::testing {

/// "VmFlags: rd mr hg " of /proc/self/smaps for the mapping that has the first of `bytes`; empty:
/// there is none.
inline std::string vm_flags(std::span<const std::byte> bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream range(line);
    std::uintptr_t begin = 0, end = 0;
    char dash = 0;
    if (range >> std::hex >> begin >> dash >> end && dash == '-')
      inside = begin <= address && address < end;
    if (inside && line.starts_with("VmFlags:")) return line + " ";
  }
  return "";
}

}  // namespace troupe::testing
