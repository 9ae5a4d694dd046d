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

constexpr int64_t kMaxSlab =
    2048;  // columns: a slab of w in double is 16 KiB, within the first cache

/// The columns [at, at + length) of w in double; zero beyond `length` up to a multiple of 8.
struct alignas(64) SlabBuffer {
  double w[kMaxSlab];
  double row[kMaxSlab];  // scratch: a row that is not float32 or float64, converted
};

/// buffer.w <- w
void load_slab(const Rows& w, int64_t at, int64_t length, SlabBuffer& buffer);
/// w <- buffer.w, rounded to w's dtype; buffer.w becomes what was stored.
void store_slab(const Rows& w, int64_t at, int64_t length, SlabBuffer& buffer);
/// found[i] += q_i . buffer.w
void dot_slab(const Rows& q, int64_t at, int64_t length, SlabBuffer& buffer, double* found);
/// buffer.w -= sum_i c[i] q_i
void subtract_slab(const Rows& q, const double* c, int64_t at, int64_t length, SlabBuffer& buffer);
/// buffer.w . buffer.w
double norm_slab(int64_t length, const SlabBuffer& buffer);

}  // namespace ritz::detail
