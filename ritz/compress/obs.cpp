#include "ritz/compress/obs.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check_tensor.h"
#include "ritz/optim/detail/gradient_rows.h"

namespace ritz::compress {

namespace {

using optim::detail::BlockRun;

/// Blocks beyond this many numbers of G are taken one at a time, without a copy of G.
constexpr int64_t kBatch = int64_t{1} << 22;

/// (m lambda I + K)^-1 a in float64 for K [.., m, m], a [.., m].
Tensor damped_solve(const Tensor& K, double damping, const Tensor& a) {
  const Tensor S = K.to(at::kDouble).clone();
  S.diagonal(0, -2, -1).add_(static_cast<double>(K.size(-1)) * damping);
  const auto [C, info] = at::linalg_cholesky_ex(S);
  if (info.any().item<bool>()) {
    throw NotConverged("damping: " + number_text(damping) +
                       " is lost in the rounding of the gradients' Gram matrix; take a larger one");
  }
  return at::cholesky_solve(a.to(at::kDouble).unsqueeze(-1), C).squeeze(-1);
}

}  // namespace

Tensor saliencies(const Tensor& w, const Tensor& inverse_diagonal) {
  return w.square() / (2 * inverse_diagonal);
}

Tensor smallest(const Tensor& scores, int64_t count) {
  return std::get<1>(scores.topk(count, 0, /*largest=*/false, /*sorted=*/false));
}

ObsUpdate independent_update(const optim::InverseFisher& inverse, const Tensor& diagonal,
                             const Tensor& w, const Tensor& Q) {
  const Tensor dropped = w.index_select(0, Q), at_Q = diagonal.index_select(0, Q);
  Tensor t = at::zeros_like(w);
  t.index_copy_(0, Q, -dropped / at_Q);
  ObsUpdate update{.change = inverse.apply(t)};
  update.change.index_copy_(0, Q, -dropped);
  update.predicted = saliencies(dropped, at_Q).sum(at::kDouble).item<double>();
  return update;
}

ObsUpdate joint_update(const Tensor& G, const optim::InverseFisherOptions& options, const Tensor& w,
                       const Tensor& Q) {
  const double lambda = options.damping;
  check_positive("damping", lambda);
  const int64_t m = G.size(0);
  const auto compute = w.scalar_type();
  Tensor keep = at::ones_like(w);
  keep.index_fill_(0, Q, 0);
  const Tensor gone = w * (1 - keep);  // w_Q in its places
  Tensor change = -gone;
  double predicted = lambda * gone.square().sum(at::kDouble).item<double>() / 2;
  for (const BlockRun& run :
       optim::detail::plan_blocks(w.size(0), options.block, options.segments)) {
    const int64_t width = run.width;
    if (m * width > kBatch) {
      for (int64_t k = 0; k < run.count; ++k) {
        const int64_t begin = run.begin + k * width;
        const Tensor rows = G.narrow(1, begin, width);
        const Tensor stays = keep.narrow(0, begin, width);
        const Tensor places = stays.eq(0).nonzero().squeeze(1);
        if (places.numel() == 0) continue;
        const Tensor rows_Q = rows.index_select(1, places);
        // K_S = K - K_Q: the columns that go are few beside those that stay.
        const Tensor K = optim::detail::gram(rows, compute) - optim::detail::gram(rows_Q, compute);
        const Tensor w_Q = gone.narrow(0, begin, width).index_select(0, places).unsqueeze(1);
        const Tensor a = optim::detail::times(rows_Q, w_Q).squeeze(1);
        const Tensor c = damped_solve(K, lambda, a);
        const Tensor moved =
            optim::detail::transposed_times(rows, c.to(compute).unsqueeze(1)).squeeze(1);
        change.narrow(0, begin, width).add_(moved * stays);
        predicted += lambda * a.to(at::kDouble).dot(c).item<double>() / 2;
      }
      continue;
    }
    const int64_t step = std::max<int64_t>(1, kBatch / (m * std::max(m, width)));
    for (int64_t first = 0; first < run.count; first += step) {
      const int64_t n = std::min(step, run.count - first), begin = run.begin + first * width;
      const Tensor tile = optim::detail::gather_blocks(G, run, first, n, compute);  // [n, m, w]
      const Tensor stays = keep.narrow(0, begin, n * width).view({n, 1, width});
      const Tensor rows_S = tile * stays;
      const Tensor a =
          at::bmm(tile, gone.narrow(0, begin, n * width).view({n, width, 1})).squeeze(2);
      const Tensor wide = rows_S.to(at::kDouble);
      const Tensor c = damped_solve(at::bmm(wide, wide.transpose(1, 2)), lambda, a);  // [n, m]
      change.narrow(0, begin, n * width)
          .add_(at::bmm(rows_S.transpose(1, 2), c.to(compute).unsqueeze(2)).reshape(-1));
      predicted += lambda * (a.to(at::kDouble) * c).sum().item<double>() / 2;
    }
  }
  return {change, predicted};
}

int64_t zeros_at(double sparsity, int64_t d) {
  return static_cast<int64_t>(std::floor(sparsity * static_cast<double>(d)));
}

std::vector<int64_t> recomputation_zeros(int64_t zeros, double sparsity, int64_t d, int64_t R) {
  check_at_least("recomputations", R, 1);
  const double n = static_cast<double>(d), density = 1 - static_cast<double>(zeros) / n;
  std::vector<int64_t> all;
  for (int64_t j = 1; j < R; ++j) {
    const double share = static_cast<double>(j) / static_cast<double>(R);
    all.push_back(zeros_at(1 - density * std::pow((1 - sparsity) / density, share), d));
  }
  all.push_back(zeros_at(sparsity, d));
  return all;
}

std::vector<double> zhu_gupta_targets(double from, double to, int64_t n) {
  check_at_least("prunings", n, 1);
  std::vector<double> all;
  for (int64_t t = 1; t < n; ++t) {
    const double left = 1 - static_cast<double>(t) / static_cast<double>(n);
    all.push_back(to + (from - to) * left * left * left);
  }
  all.push_back(to);
  return all;
}

}  // namespace ritz::compress
