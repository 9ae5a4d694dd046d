#include "studies/generators/tall_rows.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check.h"
#include "ritz/base/random.h"

namespace ritz::studies {
namespace {

// u^(-1/tail) - 1 >= 0, [n, 1].
Tensor pareto(int64_t n, double tail, uint64_t seed, std::string_view purpose) {
  RandomStream random(seed, stream_id(purpose));
  // 1 - u lies in (0, 1].
  return (1 - random.uniform({n, 1}, torch::kFloat64)).pow(-1 / tail) - 1;
}

}  // namespace

HiddenBlocks block_leverage(const BlockLeverageOptions& options) {
  const int64_t d = options.dim, rows = options.heavy + options.light;
  check_at_least("dim", d, 1);
  check_at_least("heavy", options.heavy, 1);
  check_at_least("light", options.light, 1);
  HiddenBlocks made;
  made.heavy = options.heavy;
  made.light = options.light;
  auto column = torch::full({rows}, 1 / static_cast<double>(options.light), torch::kFloat64);
  column.slice(0, 0, options.heavy).fill_(1 / static_cast<double>(options.heavy));
  made.matrix = torch::zeros({rows * d, d}, torch::kFloat64);
  for (int64_t j = 0; j < d; ++j)
    made.matrix.slice(0, rows * j, rows * (j + 1)).select(1, j).copy_(column);
  made.transform = options.hide ? RandomStream(options.seed, stream_id("tall-rows/transform"))
                                      .normal({d, d}, torch::kFloat64)
                                : torch::eye(d, torch::kFloat64);
  if (options.hide) made.matrix = made.matrix.mm(made.transform);
  return made;
}

Tensor moment_blocks(const MomentBlocksOptions& options) {
  check_at_least("coordinates", options.coordinates, 1);
  check_at_least("few", options.few, 1);
  check_at_least("many", options.many, 1);
  check_positive("p", options.p);
  const int64_t half = options.coordinates / 2;
  const int64_t n = half * options.few + (options.coordinates - half) * options.many;
  auto A = torch::zeros({n, options.coordinates}, torch::kFloat64);
  int64_t row = 0;
  for (int64_t j = 0; j < options.coordinates; ++j) {
    const int64_t k = j < half ? options.few : options.many;
    A.slice(0, row, row + k).select(1, j).fill_(std::pow(static_cast<double>(k), -1 / options.p));
    row += k;
  }
  return A;
}

Tensor gaussian_rows(const TallRowsOptions& options) {
  check_at_least("rows", options.rows, 1);
  check_at_least("dim", options.dim, 1);
  return RandomStream(options.seed, stream_id("tall-rows/gaussian"))
      .normal({options.rows, options.dim}, torch::kFloat64);
}

double gaussian_total_sensitivity(int64_t dim, double p) {
  const auto d = static_cast<double>(dim);
  return std::exp(std::lgamma((d + p) / 2) - std::lgamma(d / 2) - std::lgamma((p + 1) / 2)) *
         std::sqrt(M_PI);
}

Tensor pareto_rows(const TallRowsOptions& options) {
  check_positive("tail", options.tail);
  return gaussian_rows(options) *
         pareto(options.rows, options.tail, options.seed, "tall-rows/lengths");
}

// (k + 1) P_{k+1} = (2 k + 1) x P_k - k P_{k-1}
Tensor legendre_rows(int64_t rows, int64_t dim) {
  check_at_least("rows", rows, 2);
  check_at_least("dim", dim, 1);
  auto A = torch::ones({rows, dim}, torch::kFloat64);
  const auto x = torch::linspace(-1, 1, rows, torch::kFloat64);
  if (dim > 1) A.select(1, 1).copy_(x);
  for (int64_t k = 1; k + 1 < dim; ++k) {
    const auto degree = static_cast<double>(k);
    A.select(1, k + 1).copy_(((2 * degree + 1) * x * A.select(1, k) - degree * A.select(1, k - 1)) /
                             (degree + 1));
  }
  return A;
}

RegressionData robust_regression(const RobustRegressionOptions& options) {
  const int64_t n = options.rows, d = options.dim;
  check_at_least("rows", n, 1);
  check_at_least("dim", d, 1);
  check_positive("tail", options.tail);
  check_positive("freedom", options.freedom);
  check_non_negative("background", options.background);
  RegressionData made;
  made.A = gaussian_rows({.rows = n, .dim = d, .seed = options.seed}) *
           pareto(n, options.tail, options.seed, "tall-rows/lengths");
  made.A += RandomStream(options.seed, stream_id("tall-rows/background"))
                .normal({n, d}, torch::kFloat64)
                .mul_(options.background);
  made.solution =
      RandomStream(options.seed, stream_id("tall-rows/solution")).normal({d}, torch::kFloat64);
  // Student's t without a gamma variate (Bailey 1994): sqrt(nu (w^(-2/nu) - 1)) cos(theta).
  RandomStream random(options.seed, stream_id("tall-rows/noise"));
  const auto w = 1 - random.uniform({n}, torch::kFloat64);
  const auto theta = random.uniform({n}, torch::kFloat64, 0, 2 * M_PI);
  const auto noise = ((w.pow(-2 / options.freedom) - 1) * options.freedom).sqrt() * theta.cos();
  made.b = made.A.mv(made.solution) + noise;
  return made;
}

}  // namespace ritz::studies
