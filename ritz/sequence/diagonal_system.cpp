#include "ritz/sequence/diagonal_system.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::sequence {

ConjugatePairs pair_conjugates(const Tensor& eigenvalues, double tolerance) {
  check_dim("eigenvalues", eigenvalues, 1);
  const int64_t n = eigenvalues.size(0);
  const Tensor m = eigenvalues.detach().to(torch::kCPU, torch::kComplexDouble).contiguous();
  const auto* value = m.data_ptr<c10::complex<double>>();
  const double near = tolerance * (n > 0 ? m.abs().max().item<double>() : 0);
  std::vector<int64_t> order;  // those kept, by Im: real ones first
  std::vector<int64_t> lower;  // Im < 0, each to be found a partner
  for (int64_t i = 0; i < n; ++i) (value[i].imag() < -near ? lower : order).push_back(i);
  const auto before = [&](int64_t i, int64_t j) {
    const double a = value[i].imag() <= near ? 0 : value[i].imag();
    const double b = value[j].imag() <= near ? 0 : value[j].imag();
    return a != b ? a < b : value[i].real() < value[j].real();
  };
  std::sort(order.begin(), order.end(), before);
  Tensor weights = torch::empty({static_cast<int64_t>(order.size())}, torch::kFloat64);
  for (size_t k = 0; k < order.size(); ++k) {
    const auto& upper = value[order[k]];
    const bool real = upper.imag() <= near;
    weights[static_cast<int64_t>(k)] = real ? 1.0 : 2.0;
    if (real) continue;
    const auto partner = std::find_if(lower.begin(), lower.end(), [&](int64_t i) {
      return std::abs(value[i] - std::conj(upper)) <= near;
    });
    if (partner == lower.end()) break;
    lower.erase(partner);
  }
  if (2 * weights.numel() - (weights == 1).sum().item<int64_t>() != n || !lower.empty())
    throw InvalidArgument("eigenvalues", "those of a real matrix, in conjugate pairs",
                          "one without its conjugate");
  return {torch::tensor(order, torch::kInt64), weights};
}

DiagonalSystem diagonal_system(const Tensor& eigenvalues, const Tensor& W, const Tensor& W_inv,
                               const Tensor& B, Storage storage) {
  const int64_t n = eigenvalues.size(0);
  check_shape("W", W, {-1, n});
  check_shape("W_inv", W_inv, {n, W.size(0)});
  if (!B.defined() || B.dim() < 1 || B.dim() > 2 || B.size(0) != W.size(0))
    throw InvalidArgument("B", "as many rows as W", B.defined() ? describe(B) : "nothing");
  const Tensor m = eigenvalues.to(torch::kComplexDouble), inverse = W_inv.to(torch::kComplexDouble);
  DiagonalSystem system{m, inverse.matmul(B.to(inverse.options())), W.to(torch::kComplexDouble),
                        inverse, torch::ones({n}, torch::kFloat64)};
  if (storage == Storage::full) return system;
  const auto kept = pair_conjugates(m);
  system.eigenvalues = m.index_select(0, kept.index);
  system.B = system.B.index_select(0, kept.index);
  system.W = system.W.index_select(1, kept.index);
  system.W_inv = system.W_inv.index_select(0, kept.index);
  system.weights = kept.weights;
  return system;
}

}  // namespace ritz::sequence
