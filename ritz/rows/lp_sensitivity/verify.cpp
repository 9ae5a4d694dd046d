#include "ritz/rows/lp_sensitivity/verify.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check_tensor.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/random.h"
#include "ritz/rows/lp_sensitivity/detail/exponent.h"
#include "ritz/rows/lp_sensitivity/detail/lp_solver.h"
#include "ritz/rows/lp_sensitivity/lewis.h"
#include "ritz/rows/lp_sensitivity/sampling.h"

namespace ritz::rows {
namespace {

// sum_i |a_i x|^p for every column x of X [r, k]: columns are scaled so that no power overflows.
Tensor power_norms(const Tensor& A, const Tensor& X, double p) {
  auto sums = torch::zeros({X.size(1)}, X.options());
  detail::for_panels(
      A, [&](const Tensor& panel, int64_t) { sums += panel.mm(X).abs_().pow_(p).sum(0); });
  return sums;
}

// (SA)^T |SA x|^(p-1) sign(SA x): a positive multiple of the gradient of ||SA x||_p^p.
Tensor gradient(const Tensor& rows, const Tensor& x, double p) {
  auto y = rows.mv(x);
  const auto size = y.abs().max().clamp_min(1e-300);
  y = y / size;
  return rows.t().mv(y.abs().pow(p - 1) * y.sign());
}

double power_norm(const Tensor& rows, const Tensor& x, double p) {
  return rows.mv(x).abs_().pow_(p).sum().item<double>();
}

// One side of the search: raise ||up x||_p / ||down x||_p from x on. Both have orthonormal-like
// columns in the same coordinates.
struct Ascent {
  Tensor x;
  int64_t steps = 0;
  bool monotone = true;
};
Ascent ascend(const Tensor& up, const Tensor& down, const detail::LpSolver& solver,
              const Tensor& map, Tensor x, double p, int64_t most) {
  Ascent result;
  detail::LpSolver::Workspace work(solver);
  auto z = torch::empty({solver.columns()}, torch::kFloat64);
  const auto ratio_of = [&](const Tensor& at) {
    return power_norm(up, at, p) / power_norm(down, at, p);
  };
  double ratio = ratio_of(x);
  for (; result.steps < most; ++result.steps) {
    check_interrupt("verification");
    const auto g = map.t().mv(gradient(up, x, p)).contiguous();
    if (!g.ne(0).any().item<bool>()) break;
    solver.solve(g.data_ptr<double>(), z.data_ptr<double>(), work);
    auto next = map.mv(z);
    next /= next.norm();
    const double reached = ratio_of(next);
    if (!std::isfinite(reached)) break;
    if (reached < ratio * (1 - 1e-7)) result.monotone = false;
    if (reached <= ratio * (1 + 1e-7)) break;
    ratio = reached;
    x = next;
  }
  result.x = x;
  return result;
}

}  // namespace

Verification verify_embedding(const Tensor& A, const Tensor& indices, const Tensor& weights,
                              const VerifyOptions& options) {
  const double p = options.p;
  detail::check_exponent(p);
  check_at_least("random_directions", options.random_directions, 0);
  check_at_least("heavy_rows", options.heavy_rows, 0);
  check_at_least("ascents", options.ascents, 0);
  check_at_least("steps", options.steps, 0);
  check_at_least("surrogate_rows", options.surrogate_rows, 1);
  const torch::NoGradGuard no_grad;
  const auto basis = row_basis(A);
  const int64_t n = A.size(0), r = basis.rank;
  check_dim("indices", indices, 1);
  check_shape("weights", weights, {indices.size(0)});
  check_at_least("rows of the coreset", indices.size(0), 1);
  check_range("indices", indices.min().item<int64_t>(), 0, n - 1);
  check_range("indices", indices.max().item<int64_t>(), 0, n - 1);
  check_finite("weights", weights);
  if (!weights.gt(0).all().item<bool>())
    throw InvalidArgument("weights", "positive numbers", "zero or less");

  // Everything happens in coordinates in which A's columns are orthonormal: x = map F z.
  const auto gram = detail::weighted_gram(basis.rows);
  const auto F = detail::inverse_factor(gram);
  const auto w = weights.to(torch::kCPU, torch::kFloat64);
  const auto kept = detail::take_rows(basis.rows, indices).mm(F);
  const auto device = kept.device();
  const auto sampled = kept * w.to(device).pow(1 / p).unsqueeze(1);
  Verification result;

  std::vector<Tensor> directions;  // [r, k] each
  if (p == 2) {
    const auto vectors = std::get<1>(torch::linalg_eigh(sampled.t().mm(sampled)));
    directions = {vectors.slice(1, 0, 1), vectors.slice(1, r - 1, r)};
  } else {
    const auto lewis = lewis_weights(basis, {.p = p, .tolerance = 1e-3});
    const auto weight = lewis.weights.cpu().index_select(0, indices.cpu());
    // M in these coordinates: F^-1 (factor factor^T) F^-T.
    const auto inner = torch::linalg_solve(F, lewis_factor(basis, lewis.weights, p));
    const int64_t heavy = std::min(options.heavy_rows, indices.size(0));
    if (heavy > 0) {
      const auto top = std::get<1>((weight * w).topk(heavy)).to(device);
      directions.push_back(inner.mm(inner.t()).mm(kept.index_select(0, top).t()));
    }
    directions.push_back(torch::linalg_solve(F, basis.back));
    RandomStream random(options.seed, stream_id("verify/directions"));
    if (options.random_directions > 0)
      directions.push_back(
          random.normal({r, options.random_directions}, torch::kFloat64).to(device));
    const auto tilt = torch::where(weight > 0, weight.pow(1 - 2 / p) * w, 0).to(device).sqrt();
    const auto tilted = kept * tilt.unsqueeze(1);
    const auto eigen =
        std::get<1>(torch::linalg_eigh(inner.t().mm(tilted.t().mm(tilted)).mm(inner)));
    directions.push_back(inner.mm(eigen));

    // Screen by the ratio over all of A, ascend from the best.
    auto all = torch::cat(directions, 1);
    all = all / all.norm(2, 0, true).clamp_min(1e-300);
    const auto ratio = power_norms(sampled, all, p) / power_norms(basis.rows, F.mm(all), p);
    const int64_t starts = std::min(options.ascents, all.size(1));
    directions = {all};
    if (starts > 0 && options.steps > 0) {
      Tensor surrogate = basis.rows;
      Tensor factor;
      if (n > options.surrogate_rows) {
        auto q = fixed_size_probabilities(lewis.weights.cpu(),
                                          static_cast<double>(options.surrogate_rows));
        q.index_fill_(0, indices.cpu(), 1);
        const auto sample =
            draw_sample(q, Sampler::bernoulli, options.seed ^ stream_id("verify/surrogate"));
        surrogate = detail::take_rows(basis.rows, sample.indices, sample.weights.pow(1 / p));
        result.surrogate = true;
      }
      const auto down = surrogate.to(torch::kFloat64).mm(F).cpu();
      const auto up = sampled.cpu();
      const auto climb = [&](const Tensor& top, const Tensor& bottom, const Tensor& from) {
        const auto inside = row_basis(bottom);
        if (inside.rank < r) return;  // the sample misses a direction: rho = 0 is found below
        const auto W = detail::inverse_factor(detail::weighted_gram(inside.rows));
        const detail::LpSolver solver(inside.rows.mm(W), p, {.tolerance = 1e-8, .max_steps = 60});
        const auto map = inside.map.mm(W);
        for (int64_t i = 0; i < from.size(1); ++i) {
          const auto found = ascend(top, bottom, solver, map, from.select(1, i), p, options.steps);
          directions.push_back(found.x.to(device).unsqueeze(1));
          result.ascent_steps += found.steps;
          result.monotone = result.monotone && found.monotone;
        }
      };
      const auto order = ratio.argsort(0, /*descending=*/true);
      const auto host = all.cpu();
      climb(up, down, host.index_select(1, order.slice(0, 0, starts).cpu()));
      climb(down, up, host.index_select(1, order.slice(0, all.size(1) - starts).cpu()));
    }
    // A direction that the sample does not see at all has rho = 0.
    directions.push_back(std::get<2>(torch::linalg_svd(sampled, true)).slice(0, -1).t());
  }
  auto all = torch::cat(directions, 1);
  all = all / all.norm(2, 0, true).clamp_min(1e-300);
  result.starts = directions[0].size(1);
  const auto total = power_norms(basis.rows, F.mm(all), p);
  const auto ratio = power_norms(sampled, all, p) / total;
  const auto distortion = (ratio - 1).abs();
  const auto worst = distortion.argmax().item<int64_t>();
  result.largest_ratio = ratio.max().item<double>();
  result.smallest_ratio = ratio.min().item<double>();
  result.ratio = ratio[worst].item<double>();
  result.distortion = distortion[worst].item<double>();
  const auto z = F.mv(all.select(1, worst)) / std::pow(total[worst].item<double>(), 1 / p);
  result.witness = basis.map.mv(z);
  return result;
}

}  // namespace ritz::rows
