// Our own exp, log, sin, cos and pow: the same bits on every CPU, unlike libm's.
#pragma once

namespace troupe::kernels {

/// e^x in F32, error under 2 ulp; 0 below -104, +inf above 88.73. The vector levels compute the
/// same bits.
float exp_f32(float x);
/// Natural logarithm in F32, error under 2 ulp; -inf at 0, NaN below.
float log_f32(float x);

/// F64 functions for tables and the sampler, error under 2 ulp in the ranges used here
/// (|x| < 2^20 for sin and cos; x > 0 for log and pow).
double exp_f64(double x);
double log_f64(double x);
double sin_f64(double x);
double cos_f64(double x);
double pow_f64(double x, double y);

}  // namespace troupe::kernels
