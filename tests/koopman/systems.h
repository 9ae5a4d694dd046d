#pragma once
// Systems whose Koopman spectra are known.
#include <torch/types.h>

#include <numbers>

#include "ritz/base/random.h"
#include "ritz/koopman/snapshots.h"

namespace ritz::koopman::tests {

inline Tensor normal(at::IntArrayRef shape, uint64_t stream,
                     c10::ScalarType type = torch::kFloat64) {
  return RandomStream(11, stream).normal(shape, type);
}

inline double difference(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

/// y = B x (+ noise), x normal: as if sampled anywhere.
inline Snapshots linear_pairs(const Tensor& B, int64_t M, double noise = 0, uint64_t stream = 1,
                              c10::ScalarType type = torch::kFloat64) {
  const int64_t d = B.size(0);
  const Tensor x = normal({M, d}, stream, type);
  const Tensor y = x.matmul(B.to(type).t()) + noise * normal({M, d}, stream + 1000, type);
  return pairs(x, y);
}

/// The standard map near its integrable limit: an area-preserving map of the torus [0, 2 pi)^2.
inline Snapshots standard_map_pairs(int64_t M, uint64_t stream, double kick = 0.5) {
  const Tensor x =
      RandomStream(3, stream).uniform({M, 2}, torch::kFloat64, 0, 2 * std::numbers::pi);
  const Tensor p = x.select(1, 1) + kick * x.select(1, 0).sin();
  return pairs(x, torch::stack({x.select(1, 0) + p, p}, 1));
}

/// x -> a x (1 - x), far from preserving the uniform measure it is sampled from.
inline Snapshots logistic_pairs(int64_t M, uint64_t stream) {
  const Tensor x = RandomStream(4, stream).uniform({M, 1}, torch::kFloat64);
  return pairs(x, 3.2 * x * (1 - x));
}

/// A Haar-random unitary matrix.
inline Tensor random_unitary(int64_t n, uint64_t stream, c10::ScalarType type) {
  const auto [q, r] = at::linalg_qr(normal({n, n}, stream, type));
  return q;
}

}  // namespace ritz::koopman::tests
