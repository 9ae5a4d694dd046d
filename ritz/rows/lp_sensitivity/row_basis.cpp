#include "ritz/rows/lp_sensitivity/row_basis.h"

#include <torch/types.h>

#include <cmath>
#include <map>
#include <mutex>

#include "ritz/base/check_tensor.h"
#include "ritz/base/parallel.h"
#include "ritz/rows/lp_sensitivity/detail/panels.h"

namespace ritz::rows {
namespace detail {

namespace {
// 2048 rows of 50 doubles are 0.8 MB: a panel and its product stay in the second cache.
int64_t panel_rows(int64_t columns) {
  return std::clamp<int64_t>((int64_t{1} << 17) / std::max<int64_t>(columns, 1), 256, 8192);
}
}  // namespace

void for_panels(const Tensor& A, const std::function<void(const Tensor&, int64_t)>& use) {
  const int64_t n = A.size(0), step = panel_rows(A.size(1));
  for (int64_t begin = 0; begin < n; begin += step)
    use(A.slice(0, begin, std::min(begin + step, n)).to(torch::kFloat64), begin);
}

PanelSum sum_over_panels(const Tensor& A,
                         const std::function<void(const Tensor&, int64_t, PanelSum&)>& use) {
  const int64_t n = A.size(0), d = A.size(1), step = panel_rows(d);
  const auto zeros = [&] { return torch::zeros({d, d}, A.options().dtype(torch::kFloat64)); };
  std::map<int64_t, PanelSum> pieces;  // by first panel
  std::mutex guard;
  const auto stretch = [&](int64_t first, int64_t last) {
    const torch::NoGradGuard no_grad;
    PanelSum sum{.matrix = zeros()};
    for (int64_t panel = first; panel < last; ++panel) {
      const int64_t begin = panel * step, end = std::min(begin + step, n);
      use(A.slice(0, begin, end).to(torch::kFloat64), begin, sum);
    }
    const std::lock_guard<std::mutex> lock(guard);
    pieces.emplace(first, std::move(sum));
  };
  const int64_t panels = (n + step - 1) / step;
  if (A.is_cpu())
    parallel_for(0, panels, 1, stretch);
  else
    stretch(0, panels);
  PanelSum all{.matrix = zeros()};
  for (const auto& [first, piece] : pieces) {
    all.matrix += piece.matrix;
    all.total += piece.total;
    all.most = std::max(all.most, piece.most);
  }
  return all;
}

Tensor weighted_gram(const Tensor& A, const Tensor& w) {
  return sum_over_panels(A,
                         [&](const Tensor& panel, int64_t begin, PanelSum& sum) {
                           if (!w.defined()) {
                             sum.matrix.addmm_(panel.t(), panel);
                             return;
                           }
                           const auto root =
                               w.slice(0, begin, begin + panel.size(0)).sqrt().unsqueeze(1);
                           const auto scaled = panel * root;
                           sum.matrix.addmm_(scaled.t(), scaled);
                         })
      .matrix;
}

Tensor inverse_factor(const Tensor& G) {
  const auto scale = G.diagonal().clamp_min(1e-300).rsqrt();
  const auto scaled = scale.unsqueeze(1) * G * scale;
  const auto [L, info] = torch::linalg_cholesky_ex(scaled);
  const auto identity = torch::eye(G.size(0), G.options());
  if (info.item<int>() == 0) {
    const auto inverse = torch::linalg_solve_triangular(L, identity, /*upper=*/false);
    return scale.unsqueeze(1) * inverse.t();
  }
  const auto [values, vectors] = torch::linalg_eigh(scaled);
  const double least = 1e-15 * values[-1].item<double>();
  return scale.unsqueeze(1) * vectors * values.clamp_min(least).rsqrt();
}

Tensor squared_lengths(const Tensor& A, const Tensor& F) {
  auto lengths = torch::empty({A.size(0)}, A.options().dtype(torch::kFloat64));
  sum_over_panels(A, [&](const Tensor& panel, int64_t begin, PanelSum&) {
    auto y = panel.mm(F);
    auto out = lengths.slice(0, begin, begin + panel.size(0));
    torch::sum_out(out, y.mul_(y), 1);
  });
  return lengths;
}

Tensor take_rows(const Tensor& A, const Tensor& index, const Tensor& factor) {
  auto rows = A.index_select(0, index.to(A.device())).to(torch::kFloat64);
  return factor.defined() ? rows * factor.to(A.device()).unsqueeze(1) : rows;
}

}  // namespace detail

namespace {

constexpr double kSafe = 1e60;           // squares and sums of squares stay finite and normal
constexpr double kGramCondition = 1e-8;  // of eigenvalues: condition 1e4 of the matrix

// Largest magnitude of each column; a non-finite entry is found by its row.
Tensor column_magnitudes(const Tensor& A, int64_t& zero_rows) {
  auto most = torch::zeros({A.size(1)}, A.options().dtype(torch::kFloat64));
  detail::for_panels(A, [&](const Tensor& panel, int64_t begin) {
    const auto size = panel.abs();
    const auto row = size.amax(1);
    if (!torch::isfinite(row).all().item<bool>()) {
      const auto bad = torch::isfinite(panel).logical_not_().nonzero()[0];
      const auto i = bad[0].item<int64_t>(), j = bad[1].item<int64_t>();
      throw InvalidArgument("A", "finite numbers", number_text(panel[i][j].item<double>()),
                            "row " + std::to_string(begin + i) + ", column " + std::to_string(j));
    }
    zero_rows += row.eq(0).sum().item<int64_t>();
    most = torch::maximum(most, size.amax(0));
  });
  return most;
}

// R of A's QR factorisation, panel by panel: R <- qr([R; panel]).
Tensor triangular_factor(const Tensor& A) {
  Tensor R = torch::zeros({0, A.size(1)}, A.options().dtype(torch::kFloat64));
  detail::for_panels(A, [&](const Tensor& panel, int64_t) {
    R = std::get<1>(torch::linalg_qr(torch::cat({R, panel}), "r"));
  });
  return R;
}

}  // namespace

RowBasis row_basis(const Tensor& given) {
  check_dim("A", given, 2);
  check_floating("A", given);
  const Tensor A = given.detach();
  check_at_least("rows of A", A.size(0), 1);
  check_at_least("columns of A", A.size(1), 1);
  const torch::NoGradGuard no_grad;
  const int64_t d = A.size(1);
  RowBasis basis;
  const auto most = column_magnitudes(A, basis.zero_rows);
  const double top = most.max().item<double>();
  if (top == 0) throw InvalidArgument("A", "a row that is not zero", "zeros alone");

  // Powers of two: scaling by them is exact. An empty column keeps its scale.
  auto scale = torch::ones_like(most);
  Tensor rows = A;
  const auto used = most.gt(0);
  const bool wild = top > kSafe || most.masked_select(used).min().item<double>() < 1 / kSafe;
  if (wild) {
    const auto exponent = std::get<1>(torch::frexp(most));
    // 2^-e in two steps, as 2^1074 itself would not be finite.
    const auto half = exponent.div(2, "floor");
    const auto first = torch::ldexp(torch::ones_like(most), -half);
    const auto second = torch::ldexp(torch::ones_like(most), half - exponent);
    rows = (A.to(torch::kFloat64) * first) * second;
    scale = torch::where(used, first * second, scale);
  }
  auto gram = detail::weighted_gram(rows);
  const auto length = torch::where(used, gram.diagonal().clamp_min(1e-300).rsqrt(), scale * 0 + 1);
  const auto values = torch::linalg_eigvalsh(length.unsqueeze(1) * gram * length);
  const double low = values[0].item<double>(), high = values[-1].item<double>();
  if (low > kGramCondition * high) {
    basis.rows = rows;
    basis.map = torch::diag(scale);
    basis.back = torch::diag(scale.reciprocal());
    basis.rank = d;
    basis.condition = std::sqrt(high / low);
    return basis;
  }
  const auto R = triangular_factor(rows) * length;
  const auto [U, S, Vh] = torch::linalg_svd(R, /*full_matrices=*/false);
  const double eps = A.scalar_type() == torch::kFloat32 ? 1.2e-7 : 2.3e-16;
  const double least = 16 * eps * std::sqrt(static_cast<double>(d)) * S[0].item<double>();
  basis.rank = S.gt(least).sum().item<int64_t>();
  const auto kept = S.slice(0, 0, basis.rank);
  const auto T = length.unsqueeze(1) * Vh.slice(0, 0, basis.rank).t() / kept;
  basis.condition = (S[0] / kept[-1]).item<double>();
  basis.rows = torch::empty({A.size(0), basis.rank}, A.options().dtype(torch::kFloat64));
  detail::for_panels(rows, [&](const Tensor& panel, int64_t begin) {
    auto out = basis.rows.slice(0, begin, begin + panel.size(0));
    torch::mm_out(out, panel, T);
  });
  basis.map = scale.unsqueeze(1) * T;
  basis.back = kept.unsqueeze(1) * Vh.slice(0, 0, basis.rank) / length / scale;
  return basis;
}

Tensor outside_row_space(const RowBasis& basis, const Tensor& c) {
  // Columns of A are as long as those of `back`: divided by that, every entry counts alike.
  const auto length = basis.back.square().sum(0).sqrt();
  const auto weight = torch::where(length > 0, length.reciprocal(), 1);
  const auto size = (c * weight).abs().amax(-1).clamp_min(1e-300);
  const auto unit = c / size.unsqueeze(-1);
  return ((unit - unit.matmul(basis.map).matmul(basis.back)) * weight).abs().amax(-1);
}

}  // namespace ritz::rows
