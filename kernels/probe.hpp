// What this machine can do at best: the limits that kernels are measured against.
#pragma once
#include "kernels/engine.hpp"

namespace troupe::kernels {

/// Bytes per second, in units of 1e9, at which the engine's threads together read memory that no
/// cache holds (256 MiB, four streams a thread, best of five passes). Takes about 0.2 s.
/// *Errors*: 0 when the memory cannot be had.
double read_bandwidth_gbs(const Engine& engine);

/// Floating-point operations per second, in units of 1e9 and two per multiply-add, of F32 vectors
/// of the engine's level on all its threads together, best of five. The reference level counts as
/// AVX2, which its CPU has. Takes about 0.1 s.
double fma_peak_gflops(const Engine& engine);

/// The same for products of BF16, as `linear` adds them up with weights of BF16 and e4m3: from
/// level `avx512_bf16` on by an instruction for them where that is faster, else in F32.
double bf16_peak_gflops(const Engine& engine);
/// Whether the engine's level uses that instruction.
bool multiplies_bf16(const Engine& engine);

/// The same as `linear_tiles` adds them up: by AMX where the level has it, else in F32.
double tile_peak_gflops(const Engine& engine);
/// Whether the engine's level has AMX.
bool multiplies_tiles(const Engine& engine);

/// The same for multiply-adds of INT8 codes, two operations each, as `linear_int8` does them: pairs
/// of bytes to 16 bits, pairs of these to 32 bits, one addition; or by what the level has for all
/// of that.
double int8_peak_gops(const Engine& engine);

/// The clock all use: CPU time of the calling thread for an engine without a pool, which other
/// load on the machine does not lengthen, else wall time.
double probe_seconds(const Engine& engine);

}  // namespace troupe::kernels
