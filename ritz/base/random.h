#pragma once
// Counter-based random streams: the numbers are a pure function of (seed, stream, index), so they
// are the same for any number of threads and whatever ran before. No global generator exists.
#include <cstdint>
#include <string_view>

#include "ritz/base/tensor.h"

namespace ritz {

/// A 64-bit stream number out of a purpose and an index: `stream_id("lanczos/start", probe)`. Two
/// purposes never share numbers, whatever else the program draws.
constexpr uint64_t stream_id(std::string_view purpose, uint64_t index = 0) {
  uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a over the purpose, then the index mixed in
  for (const char c : purpose) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  hash ^= index + 0x9e3779b97f4a7c15ULL + (hash << 6) + (hash >> 2);
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ULL;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebULL;
  return hash ^ (hash >> 31);
}

/// A stream of random numbers: Philox4x32-10 (Salmon et al., SC 2011) under key `seed`, counter
/// (stream, index). Each call goes on where the last one stopped; `skip_to(position())` repeats. A
/// call uses whole groups of 16 blocks (ritz/base/philox.h); where it stops short its numbers are
/// the first of those a longer one would have given. Numbers for the GPU are made on the CPU and
/// copied.
///
///     ritz::RandomStream random(7, ritz::stream_id("probes", 0));
///     auto z = random.normal({1000, 4}, torch::kFloat64);
class RandomStream {
 public:
  explicit RandomStream(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  /// Uniform on [low, high). float32 has 24 random bits, float64 53; dtypes below float32 are
  /// rounded from it (and may reach high).
  Tensor uniform(at::IntArrayRef shape, const TensorOptions& options, double low = 0,
                 double high = 1);
  /// Standard normal, or normal with the given mean and deviation (Box & Muller: float32
  /// reaches 6.7 deviations, float64 9.4). Complex dtypes: real and imaginary part independent,
  /// each with variance sd^2 / 2.
  Tensor normal(at::IntArrayRef shape, const TensorOptions& options, double mean = 0,
                double sd = 1);
  /// +1 or -1 with equal probability.
  Tensor rademacher(at::IntArrayRef shape, const TensorOptions& options);
  /// int64, uniform on {low, ..., high - 1}, without bias.
  Tensor integers(at::IntArrayRef shape, int64_t low, int64_t high);
  /// int64 [n], a uniform random permutation of 0..n-1.
  Tensor permutation(int64_t n);
  /// int64 [k], k distinct numbers of 0..n-1 in random order; O(k) time and memory.
  Tensor sample(int64_t n, int64_t k);

  /// The same, into an existing tensor (any strides; CPU and CUDA tensors get the same numbers).
  /// Throw InvalidArgument where it is not of a floating-point dtype.
  void fill_uniform(const Tensor& out, double low = 0, double high = 1);
  void fill_normal(const Tensor& out, double mean = 0, double sd = 1);
  void fill_rademacher(const Tensor& out);

  /// How many 128-bit blocks were used (at most 2^56); `skip_to` goes there.
  uint64_t position() const { return index_; }
  void skip_to(uint64_t position) { index_ = position; }

 private:
  uint64_t seed_;
  uint64_t stream_;
  uint64_t index_ = 0;
};

}  // namespace ritz
