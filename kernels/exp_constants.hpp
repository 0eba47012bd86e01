// Constants of exp in F32, shared by the scalar function and the vector levels.
#pragma once

namespace troupe::kernels {

// Below kExpLowest the result is 0 (2^-150 is half the smallest subnormal, ln of it -103.97); at
// kExpHighest the last multiplication overflows to infinity (ln of the largest F32 is 88.7228).
inline constexpr float kExpLowest = -104.0f;
inline constexpr float kExpHighest = 89.0f;

inline constexpr float kExpLog2E = 0x1.715476p+0f;
inline constexpr float kExpToInteger = 0x1.8p23f;  // adding it rounds to the nearest integer
// ln 2 = kExpLn2High + kExpLn2Low; n * kExpLn2High is exact inside the fused multiply-add.
inline constexpr float kExpLn2High = 0x1.62e43p-1f;
inline constexpr float kExpLn2Low = -0x1.05c610p-29f;

// Taylor, 1 / i!: on |r| <= ln2 / 2 the first term left out, r^8 / 8!, is under 2^-27.
inline constexpr float kExpC2 = 0.5f;
inline constexpr float kExpC3 = 1.0f / 6.0f;
inline constexpr float kExpC4 = 1.0f / 24.0f;
inline constexpr float kExpC5 = 1.0f / 120.0f;
inline constexpr float kExpC6 = 1.0f / 720.0f;
inline constexpr float kExpC7 = 1.0f / 5040.0f;

}  // namespace troupe::kernels
