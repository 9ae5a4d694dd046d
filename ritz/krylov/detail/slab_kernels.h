#pragma once
// Products of a slab of columns (short, in cache) with many rows: raw pointers, double
// accumulation.
#include <cstdint>

namespace ritz::detail {

enum class Storage { float32, float64, bfloat16, float16 };

/// Rows of one dtype, each contiguous, `stride` elements apart.
struct Rows {
  const void* data = nullptr;
  int64_t count = 0;
  int64_t stride = 0;
  Storage storage = Storage::float64;
};

/// Columns whose w in double, 16 KiB, is within the first cache.
constexpr int64_t kMaxSlab = 2048;

/// Columns [at, at + length) of w in double, zero beyond `length` up to a multiple of 8: what the
/// functions below work on, aligned as this is.
template <int64_t kColumns = kMaxSlab>
struct alignas(64) SlabBuffer {
  double w[kColumns];
};

/// buffer <- w
void load_slab(const Rows& w, int64_t at, int64_t length, double* buffer);
/// w <- buffer, rounded to w's dtype; the buffer becomes what was stored.
void store_slab(const Rows& w, int64_t at, int64_t length, double* buffer);
/// found[i] += q_i . buffer
void dot_slab(const Rows& q, int64_t at, int64_t length, const double* buffer, double* found);
/// buffer -= sum_i c[i] q_i
void subtract_slab(const Rows& q, const double* c, int64_t at, int64_t length, double* buffer);
/// buffer . buffer
double norm_slab(int64_t length, const double* buffer);

}  // namespace ritz::detail
