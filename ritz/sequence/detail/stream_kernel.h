#pragma once
// The scan of float rows that are more than the caches hold: its output goes past them. Reading
// lines that are to be overwritten would be a third of the traffic, and stores that wait for them
// hold up all others (measured at 16 MB: 2.3 times the time).
#include <cstdint>

namespace ritz::sequence::detail {

/// Bytes of output from which on it pays.
constexpr int64_t kStreamedBytes = 8 << 20;

struct StreamRows {
  int64_t steps, stride;  // from one step to the next, in elements; negative backwards
  int64_t imaginary;      // from a real part to its imaginary one: a multiple of 8
  int64_t columns;        // a multiple of 8
  const double *ar, *ai;
};

/// AVX-512 and a compiler that can use it.
bool has_stream_kernel();
/// state <- a state + v, x <- state; x and stride in multiples of 32 bytes.
void stream_scan(const StreamRows& rows, const float* v, double* sr, double* si, float* x);

}  // namespace ritz::sequence::detail
