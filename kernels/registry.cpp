// Finds out what this CPU can run and lists the levels.
#include "kernels/registry.hpp"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "kernels/cpu/levels.hpp"
#include "kernels/reference/operations.hpp"

namespace troupe::kernels {
namespace {

constexpr std::array<std::string_view, 7> kLevelNames{
    "reference", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16", "avx512_amx"};

constexpr KernelTable kReference{
    .name = "reference",
    .linear = reference::linear,
    .linear_tiles = reference::linear_tiles,
    .linear_int8 = reference::linear_int8,
    .mla_attention = reference::mla_attention,
    .write_cache = reference::write_cache,
    .rms_norm = reference::rms_norm,
    .rope = reference::rope,
    .swiglu = reference::swiglu,
    .quantise = reference::quantise,
    .quantise_int8 = reference::quantise_int8,
    .round_bf16 = reference::round_bf16,
    .pack_bf16 = reference::pack_bf16,
    .unpack_bf16 = reference::unpack_bf16,
    .add = reference::add,
    .axpy = reference::axpy,
    .sigmoid = reference::sigmoid,
    .softmax_stats = reference::softmax_stats,
};

/// The table of a vector level.
KernelTable vector_table(std::string_view name) {
  return {
      .name = name,
      .linear = cpu::linear_levels().at(name),
      .linear_tiles = cpu::linear_tiles_levels().at(name),
      .linear_int8 = cpu::linear_int8_levels().at(name),
      .mla_attention = cpu::mla_attention_levels().at(name),
      .write_cache = cpu::write_cache_levels().at(name),
      .rms_norm = cpu::rms_norm_levels().at(name),
      .rope = cpu::rope_levels().at(name),
      .swiglu = cpu::swiglu_levels().at(name),
      .quantise = cpu::quantise_levels().at(name),
      .quantise_int8 = cpu::quantise_int8_levels().at(name),
      .round_bf16 = cpu::round_bf16_levels().at(name),
      .pack_bf16 = cpu::pack_bf16_levels().at(name),
      .unpack_bf16 = cpu::unpack_bf16_levels().at(name),
      .add = cpu::add_levels().at(name),
      .axpy = cpu::axpy_levels().at(name),
      .sigmoid = cpu::sigmoid_levels().at(name),
      .softmax_stats = cpu::softmax_stats_levels().at(name),
  };
}

/// What every level needs, the reference too (its std::fma is the CPU's).
bool has_base() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2");
}

/// What leaf 7 of CPUID says; zeros of what it does not know.
struct Leaf7 {
  unsigned int eax = 0;
  unsigned int ebx = 0;
  unsigned int ecx = 0;
  unsigned int edx = 0;

  explicit Leaf7(unsigned int subleaf) { __get_cpuid_count(7, subleaf, &eax, &ebx, &ecx, &edx); }
};

/// The base with products of four bytes added to a sum (Intel's client CPUs from Alder Lake on, Zen
/// 5; they need not have AVX-512).
bool has_avx2_vnni() {
  constexpr unsigned int kAvxVnni = 1U << 4;  // in EAX of subleaf 1
  return (Leaf7(1).eax & kAvxVnni) != 0;
}

/// The parts of AVX-512 that Highway's AVX3 target uses (Skylake-SP and later, Zen 4).
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512cd");
}

/// With the products of four bytes added to a sum (Cascade Lake and later, Zen 4).
bool has_avx512_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }

/// With these, the products of two BF16 added to a sum, and permutations of bytes, by which codes
/// become BF16 (Sapphire Rapids, Zen 4).
bool has_avx512_bf16() {
  return has_avx512_vnni() && __builtin_cpu_supports("avx512bf16") &&
         __builtin_cpu_supports("avx512vbmi") && cpu::bf16_adds_in_order();
}

/// Products of tiles of bytes and of BF16 (Sapphire Rapids and later, which have all of the above).
/// Asks the kernel for the registers that hold them, 8 KiB a thread, which it grants a process once
/// and for all, if it knows them.
bool has_tiles() {
  constexpr unsigned int kTilesOfBf16 = 1U << 22;  // in EDX of leaf 7
  constexpr unsigned int kTiles = 1U << 24;
  constexpr unsigned int kTilesOfInt8 = 1U << 25;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  constexpr unsigned int kAll = kTilesOfBf16 | kTiles | kTilesOfInt8;
  return (Leaf7(0).edx & kAll) == kAll &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0 && cpu::tiles_add_in_order();
}

std::string join(std::span<const std::string_view> names) {
  std::string text;
  for (const std::string_view name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

std::vector<const KernelTable*> detect() {
  std::vector<const KernelTable*> levels;
  if (!has_base()) return levels;
  static const KernelTable avx2 = vector_table("avx2");
  static const KernelTable avx2_vnni = vector_table("avx2_vnni");
  static const KernelTable avx512 = vector_table("avx512");
  static const KernelTable avx512_vnni = vector_table("avx512_vnni");
  static const KernelTable avx512_bf16 = vector_table("avx512_bf16");
  static const KernelTable avx512_amx = vector_table("avx512_amx");
  levels.push_back(&kReference);
  levels.push_back(&avx2);
  if (has_avx2_vnni()) levels.push_back(&avx2_vnni);
  if (has_avx512()) levels.push_back(&avx512);
  if (has_avx512_vnni()) levels.push_back(&avx512_vnni);
  if (has_avx512_bf16()) {
    levels.push_back(&avx512_bf16);
    if (has_tiles()) levels.push_back(&avx512_amx);
  }
  return levels;
}

}  // namespace

std::span<const KernelTable* const> available_levels() {
  static const std::vector<const KernelTable*> levels = detect();
  return levels;
}

std::span<const std::string_view> known_levels() { return kLevelNames; }

Expected<const KernelTable*> select_level(std::string_view name) {
  const auto levels = available_levels();
  if (levels.empty())
    return unexpected(Errc::unsupported_cpu,
                      "this CPU lacks AVX2, FMA or F16C, which every kernel needs; "
                      "run on an x86-64-v3 machine (2013 or later)");
  if (name == "auto") return levels.back();
  for (const KernelTable* table : levels)
    if (table->name == name) return table;
  for (const std::string_view known : kLevelNames)
    if (known == name)
      return unexpected(Errc::unsupported_cpu, "this CPU cannot run the kernel level " +
                                                   std::string(name) + "; use --level auto");
  return unexpected(Errc::invalid_argument, "kernel level " + std::string(name) +
                                                " is not known; choose auto, " + join(kLevelNames));
}

}  // namespace troupe::kernels
