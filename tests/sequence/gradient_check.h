#pragma once
// Autograd beside central differences, in double.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

#include "ritz/base/random.h"

namespace ritz::test {

inline Tensor random_real(at::IntArrayRef shape, uint64_t index, double sd = 1) {
  return RandomStream(11, stream_id("tests/sequence", index)).normal(shape, torch::kFloat64, 0, sd);
}
inline Tensor random_complex(at::IntArrayRef shape, uint64_t index, double sd = 1) {
  return torch::complex(random_real(shape, 2 * index + 1000, sd),
                        random_real(shape, 2 * index + 1001, sd));
}

/// `f` of double (or complex double) tensors to one real or complex tensor. Every argument's
/// gradient of sum Re(conj(R) f), R random, along a random direction, against (f(x + h d) - f(x - h
/// d)) / 2h: the difference's own error is about h^2 times a third derivative plus eps/h.
inline void expect_gradients(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                             std::vector<Tensor> at, double tolerance = 2e-7,
                             const std::string& what = "") {
  for (auto& x : at) x = x.detach().clone().requires_grad_(true);
  const Tensor y = f(at);
  const Tensor R = y.is_complex() ? random_complex(y.sizes(), 77) : random_real(y.sizes(), 77);
  const auto value = [&](const Tensor& out) {
    return torch::real((out * R.conj()).sum()).item<double>();
  };
  torch::real((y * R.conj()).sum()).backward();
  for (size_t i = 0; i < at.size(); ++i) {
    const Tensor d = at[i].is_complex() ? random_complex(at[i].sizes(), 90 + i)
                                        : random_real(at[i].sizes(), 90 + i);
    const double h = 1e-5;
    double change[2];
    for (const int side : {0, 1}) {
      auto moved = at;
      for (auto& x : moved) x = x.detach();
      moved[i] = moved[i] + (side == 0 ? h : -h) * d;
      change[side] = value(f(moved));
    }
    const double expected = (change[0] - change[1]) / (2 * h);
    ASSERT_TRUE(at[i].grad().defined()) << what << " argument " << i;
    const double found = torch::real((at[i].grad().conj() * d).sum()).item<double>();
    const double scale = 1 + std::abs(expected) + std::abs(value(y.detach())) * 1e-3;
    EXPECT_NEAR(found, expected, tolerance * scale) << what << " argument " << i;
  }
}

inline double largest_difference(const Tensor& a, const Tensor& b) {
  return (a.detach().to(b.scalar_type()) - b.detach()).abs().max().item<double>();
}

}  // namespace ritz::test
