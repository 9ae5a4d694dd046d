#pragma once
// Point against continuous spectrum: RAGE averages (Ruelle, Amrein, Georgescu, Enss).
//
//     R_{n,L} = 1 / ((L + 1) ||g||^2) sum_{l=0}^{L} ||Q_n^* K^l g||^2
//
// with Q_n the first n columns of the dictionary's QR. For an isometry lim_n lim_L R = ||P_pp g||^2
// /
// ||g||^2: 1 where g is made of eigenfunctions (it keeps returning into every finite-dimensional
// space), 0 where K is weakly mixing on g (it leaves all of them). The limits do not commute: L
// goes first. M samples leave a noise floor of about n (1 - R) / M.
// (paper) Colbrook, Mezic, Stepanenko, arXiv 2407.06312; floor (derived): a unit vector independent
// of a column has squared coefficient 1 / M in the mean.
//
//     #include <torch/types.h>
//     #include "ritz/koopman/mixing.h"
//     int main() {  // an irrational rotation: pure point spectrum
//       const auto angle = torch::arange(0., 3000., torch::kFloat64) * std::sqrt(2.);
//       const auto features = torch::stack({torch::cos(angle), torch::sin(angle)}, 1);
//       const auto values = torch::cos(angle + 0.3);
//       const auto orbit = values.unfold(0, 1001, 1);  // [2000, 1001]: K^l g at x_m
//       const auto found = ritz::koopman::rage(features.slice(0, 0, 2000), orbit, {.dimensions = {2}});
//       return std::abs(found.average[0] - 1) < 1e-2 ? 0 : 1;
//     }
#include <cstdint>
#include <vector>

#include "ritz/base/tensor.h"

namespace ritz::koopman {

struct RageOptions {
  std::vector<int64_t> dimensions = {};  // n, each 1..columns; empty: all columns alone
  Tensor weights = {};                   // [M] > 0; undefined: 1 / M
};

struct Rage {
  std::vector<int64_t> dimensions = {};
  std::vector<double> average = {};      // R_{n,L}, an n each
  std::vector<double> noise_floor = {};  // n (1 - R) / M: what mixing alone would leave
  Tensor running = {};                   // float64 [dimensions, L + 1]: R_{n,l} for every l
  double norm = 0;                       // ||g||
  int64_t rank = 0;                      // of the features; dependent columns add nothing
};

/// `features` [M, n] at x_1..x_M, `orbit` [M, L + 1] = g(F^l(x_m)) (a view by Tensor::unfold where
/// the x are one trajectory). Columns of `orbit` are multiplied in blocks: 2 M n (L + 1)
/// multiplications, memory of a block.
Rage rage(const Tensor& features, const Tensor& orbit, const RageOptions& options = {});

}  // namespace ritz::koopman
