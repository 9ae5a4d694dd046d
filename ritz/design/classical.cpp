#include "ritz/design/classical.h"

#include <torch/types.h>

#include <cmath>
#include <numbers>

#include "ritz/base/check.h"
#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"

namespace ritz::design {
namespace {

// q with q^d = n.
int64_t points_per_coordinate(int64_t n, int64_t d) {
  const auto q = static_cast<int64_t>(
      std::llround(std::pow(static_cast<double>(n), 1 / static_cast<double>(d))));
  int64_t product = 1;
  for (int64_t j = 0; j < d; ++j) product *= q;
  if (product != n) {
    throw InvalidArgument("--points", "q^" + std::to_string(d) + " points of a tensor product",
                          std::to_string(n));
  }
  return q;
}

// The product of one rule a coordinate; the last coordinate runs fastest.
WeightedPoints tensor_product(const std::vector<Rule>& rules) {
  Tensor points = torch::empty({1, 0}, torch::kFloat64),
         weights = torch::ones({1}, torch::kFloat64);
  for (const auto& rule : rules) {
    const auto q = static_cast<int64_t>(rule.nodes.size());
    const Tensor nodes = torch::tensor(rule.nodes, torch::kFloat64);
    const Tensor own = torch::tensor(rule.weights, torch::kFloat64);
    const int64_t n = points.size(0);
    points = torch::cat({points.repeat_interleave(q, 0), nodes.repeat({n}).unsqueeze(1)}, 1);
    weights = weights.repeat_interleave(q) * own.repeat({n});
  }
  return {points, weights};
}

Tensor through_quantiles(const ProductSpace& space, Tensor u) {
  u = u.contiguous();
  auto* value = u.data_ptr<double>();
  const int64_t d = space.dim();
  for (int64_t i = 0; i < u.numel(); ++i)
    value[i] = quantile(space.families()[static_cast<size_t>(i % d)],
                        std::clamp(value[i], 1e-15, 1 - 1e-15));
  return u;
}

struct Pivots {
  Tensor rows;  // int64 [m]
  Tensor phi;   // float64
};
Pivots lu_pivots(const Tensor& phi) {
  check_dim("phi", phi, 2);
  check_floating("phi", phi);
  const Tensor matrix = phi.to(torch::kCPU, torch::kFloat64);
  const int64_t N = matrix.size(0), m = matrix.size(1);
  check_at_least("rows of phi", N, m);
  const auto [lu, pivots] = torch::linalg_lu_factor(matrix);
  const Tensor diagonal = lu.diagonal().abs();
  if (!(diagonal.min().item<double>() > 1e-13 * diagonal.max().item<double>()))
    throw DataError("phi", "columns that are independent", "rank below " + std::to_string(m));
  std::vector<int64_t> place(static_cast<size_t>(N));
  for (int64_t i = 0; i < N; ++i) place[static_cast<size_t>(i)] = i;
  for (int64_t j = 0; j < m; ++j)  // LAPACK's interchanges count from 1
    std::swap(place[static_cast<size_t>(j)],
              place[static_cast<size_t>(pivots[j].item<int64_t>() - 1)]);
  place.resize(static_cast<size_t>(m));
  return {torch::tensor(place, torch::kInt64), matrix};
}

}  // namespace

WeightedPoints gauss_points(const ProductSpace& space, int64_t n) {
  check_at_least("--points", n, 1);
  const int64_t q = points_per_coordinate(n, space.dim());
  std::vector<Rule> rules;
  for (const auto& family : space.families()) rules.push_back(gauss_rule(family, q));
  auto out = tensor_product(rules);
  out.weights *= static_cast<double>(n);
  return out;
}

WeightedPoints chebyshev_points(const ProductSpace& space, int64_t n) {
  check_at_least("--points", n, 1);
  const int64_t q = points_per_coordinate(n, space.dim());
  std::vector<Rule> rules;
  for (const auto& family : space.families()) {
    if (family.kind != FamilyKind::legendre && family.kind != FamilyKind::jacobi) {
      throw InvalidArgument("--method chebyshev", "legendre or jacobi coordinates",
                            family_name(family));
    }
    Rule rule;
    for (int64_t i = q; i-- > 0;) {
      const double angle =
          (2 * static_cast<double>(i) + 1) * std::numbers::pi / (2 * static_cast<double>(q));
      const double x = std::cos(angle);
      rule.nodes.push_back(x);
      rule.weights.push_back(density(family, x) * std::numbers::pi * std::sin(angle));
    }
    rules.push_back(std::move(rule));
  }
  return tensor_product(rules);
}

Tensor sobol_points(const ProductSpace& space, int64_t n, uint64_t seed, uint64_t draw) {
  check_at_least("--points", n, 1);
  const int64_t d = space.dim();
  constexpr int64_t kBits = 30;  // libtorch's
  Tensor state = torch::zeros({d, kBits}, torch::kInt64);
  at::_sobol_engine_initialize_state_(state, d);
  const Tensor shift =
      RandomStream(seed, stream_id("design/sobol", draw)).integers({d}, 0, int64_t{1} << kBits);
  Tensor u = (shift.to(torch::kFloat64) / std::ldexp(1.0, kBits)).reshape({1, d});
  if (n > 1) {  // the engine draws in float32 or float64 from the second point on
    const auto [more, last] = at::_sobol_engine_draw(shift, n - 1, state, d, 0, at::kDouble);
    u = torch::cat({u, more});
  }
  return through_quantiles(space, u + std::ldexp(0.5, -kBits));
}

Tensor latin_hypercube_points(const ProductSpace& space, int64_t n, uint64_t seed, uint64_t draw) {
  check_at_least("--points", n, 1);
  const int64_t d = space.dim();
  RandomStream random(seed, stream_id("design/latin-hypercube", draw));
  std::vector<Tensor> columns;
  for (int64_t j = 0; j < d; ++j) columns.push_back(random.permutation(n).to(torch::kFloat64));
  const Tensor u =
      (torch::stack(columns, 1) + random.uniform({n, d}, torch::kFloat64)) / static_cast<double>(n);
  return through_quantiles(space, u);
}

Tensor magic_rows(const Tensor& phi) {
  return lu_pivots(phi).rows;
}

Tensor maxvol_rows(const Tensor& phi, double gain) {
  if (!(gain > 1)) throw InvalidArgument("gain", "a number > 1", number_text(gain));
  auto [rows, matrix] = lu_pivots(phi);
  const int64_t m = matrix.size(1);
  // B = Phi Phi_I^{-1}: exchanging row I_j for row i multiplies |det Phi_I| by |B_ij|.
  Tensor B = torch::linalg_solve(matrix.index_select(0, rows), matrix, /*left=*/false);
  for (int64_t step = 0; step < 100 * m + 1000; ++step) {
    const int64_t at = B.abs().argmax().item<int64_t>(), i = at / m, j = at % m;
    const double factor = B[i][j].item<double>();
    if (std::abs(factor) <= gain) return rows;
    Tensor row = B[i].clone();
    row[j] -= 1;
    B -= B.select(1, j).clone().unsqueeze(1) * (row / factor).unsqueeze(0);
    rows[j] = i;
  }
  return rows;
}

}  // namespace ritz::design
