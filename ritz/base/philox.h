#pragma once
// The generator under RandomStream, on plain pointers: Philox4x32-10 (Salmon, Moraes, Dror & Shaw,
// "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Free of libtorch.
//
// A 128-bit block is a function of key (seed) and counter (stream, index); 16 consecutive blocks
// make a group of 64 words, in the order in which wide registers hold them: word 16 j + 2 l + h of
// a group is word j of its block 8 h + l. The same numbers come out of AVX-512, AVX2 and plain
// code.
#include <array>
#include <cstdint>

namespace ritz {

/// One block, written as the paper states it; the fast code is tested against it.
constexpr std::array<uint32_t, 4> philox_block(uint64_t key, std::array<uint32_t, 4> counter) {
  auto k0 = static_cast<uint32_t>(key);
  auto k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return counter;
}

/// A stream from block `index` on. `at(group)` is where a thread that fills later groups starts.
struct PhiloxStream {
  uint64_t seed;
  uint64_t stream;
  uint64_t index;

  static constexpr int64_t kBlocks = 16;  // a group
  static constexpr int64_t kWords = 64;

  constexpr PhiloxStream at(int64_t group) const {
    return {seed, stream, index + static_cast<uint64_t>(group * kBlocks)};
  }
};

// Each fills out[0, n) from the stream's first groups; the last group may be used in part. Elements
// per group: words 64, float32 64, float64 32, signs 2048.

/// Raw random words.
void philox_words(const PhiloxStream& from, uint32_t* out, int64_t n);

/// Uniform on [low, high): multiples of 2^-24 (float) or 2^-53 (double), scaled.
void philox_uniform(const PhiloxStream& from, float* out, int64_t n, float low, float high);
void philox_uniform(const PhiloxStream& from, double* out, int64_t n, double low, double high);

/// Normal, by Box and Muller with 32-bit (float) or 64-bit (double) uniforms for radius and angle,
/// so |z| reaches 6.76 or 9.42; the normal law has 1.4e-11 or 4e-21 beyond. Logarithm, sine and
/// cosine are fdlibm's polynomials (within 2 units in the last place on the ranges used).
void philox_normal(const PhiloxStream& from, float* out, int64_t n, float mean, float sd);
void philox_normal(const PhiloxStream& from, double* out, int64_t n, double mean, double sd);

/// +1 or -1: one random bit each.
void philox_signs(const PhiloxStream& from, float* out, int64_t n);
void philox_signs(const PhiloxStream& from, double* out, int64_t n);

}  // namespace ritz
