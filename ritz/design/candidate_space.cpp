#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ritz/base/check.h"
#include "ritz/base/check_tensor.h"
#include "ritz/design/detail/variates.h"
#include "ritz/design/space.h"

namespace ritz::design {
namespace {

Tensor checked_measure(const Tensor& measure, int64_t N) {
  if (!measure.defined()) return torch::full({N}, 1 / static_cast<double>(N), torch::kFloat64);
  check_shape("measure", measure, {N});
  check_finite("measure", measure);
  const Tensor p = measure.to(torch::kCPU, torch::kFloat64).contiguous();
  const double least = p.min().item<double>(), sum = p.sum().item<double>();
  if (least < 0) throw InvalidArgument("measure", "numbers >= 0", number_text(least));
  if (!(sum > 0)) throw InvalidArgument("measure", "a positive sum", number_text(sum));
  return p / sum;
}

// The first entry whose sum exceeds `wanted`; entries of no mass are never met.
int64_t pick(const std::vector<double>& sums, double u) {
  const double wanted = u * sums.back();
  return std::upper_bound(sums.begin(), sums.end() - 1, wanted) - sums.begin();
}

}  // namespace

CandidateSpace::CandidateSpace(const Tensor& phi, const Tensor& measure, const Options& options) {
  check_dim("candidates", phi, 2);
  check_floating("candidates", phi);
  const int64_t N = phi.size(0), m = phi.size(1);
  check_at_least("candidates' columns", m, 1);
  if (N < m) {
    throw InvalidArgument("candidates", "at least as many rows as columns, " + std::to_string(m),
                          std::to_string(N));
  }
  measure_ = checked_measure(measure, N);
  phi_ = phi.detach().to(torch::kCPU, torch::kFloat64).contiguous();
  if (!options.trusted) {
    check_finite("candidates", phi_);
    const Tensor weighted = phi_ * measure_.sqrt().unsqueeze(1);
    const Tensor gram = weighted.t().mm(weighted);
    const Tensor off = gram - torch::eye(m, torch::kFloat64);
    defect_ = torch::linalg_eigvalsh(off).abs().max().item<double>();
    const double allowed = phi.scalar_type() == at::kFloat ? 1e-4 : 1e-6;
    if (options.orthonormalise) {
      const Tensor R = std::get<1>(torch::linalg_qr(weighted, "r"));
      const Tensor diagonal = R.diagonal().abs();
      if (diagonal.min().item<double>() <= 1e-12 * diagonal.max().item<double>()) {
        throw DataError("candidates", "columns that are independent under the measure",
                        "rank below " + std::to_string(m));
      }
      phi_ = torch::linalg_solve_triangular(R, phi_, /*upper=*/true, /*left=*/false).contiguous();
    } else if (defect_ > allowed) {
      throw DataError("candidates",
                      "columns orthonormal under the measure, ||Phi^T diag(p) Phi - I|| <= " +
                          number_text(allowed) + " (or --orthonormalise)",
                      number_text(defect_));
    }
  } else {
    defect_ = std::numeric_limits<double>::quiet_NaN();
  }
  // Reads Phi once: 2 N m flops, 8 N m bytes.
  leverage_sum_.resize(static_cast<size_t>(N));
  measure_sum_.resize(static_cast<size_t>(N));
  const auto *rows = phi_.data_ptr<double>(), *p = measure_.data_ptr<double>();
  double leverages = 0, mass = 0;
  for (int64_t i = 0; i < N; ++i, rows += m) {
    double parts[4] = {0, 0, 0, 0};
    int64_t j = 0;
    for (; j + 4 <= m; j += 4)
      for (int l = 0; l < 4; ++l) parts[l] += rows[j + l] * rows[j + l];
    for (; j < m; ++j) parts[0] += rows[j] * rows[j];
    const double k = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    dropped_ += k > 0 && p[i] > 0 ? 0 : 1;
    leverages += k * p[i];
    mass += p[i];
    leverage_sum_[static_cast<size_t>(i)] = leverages;
    measure_sum_[static_cast<size_t>(i)] = mass;
  }
}

std::string CandidateSpace::description() const {
  return std::to_string(candidates()) + " candidates, " + std::to_string(size()) + " functions";
}

void CandidateSpace::draw_christoffel(int64_t count, detail::Variates& variates, double* points,
                                      double* rows) const {
  for (int64_t i = 0; i < count; ++i)
    points[i] = static_cast<double>(pick(leverage_sum_, variates.uniform()));
  if (rows != nullptr) evaluate(count, points, rows);
}

void CandidateSpace::draw_measure(int64_t count, detail::Variates& variates, double* points) const {
  for (int64_t i = 0; i < count; ++i)
    points[i] = static_cast<double>(pick(measure_sum_, variates.uniform()));
}

void CandidateSpace::evaluate(int64_t count, const double* points, double* rows) const {
  const int64_t m = size();
  const auto* phi = phi_.data_ptr<double>();
  for (int64_t i = 0; i < count; ++i)
    std::copy_n(phi + static_cast<int64_t>(points[i]) * m, m, rows + i * m);
}

Tensor CandidateSpace::do_basis(const Tensor& points) const {
  const Tensor at = points.select(1, 0).to(torch::kCPU, torch::kInt64);
  if (at.numel() > 0) {
    check_range("index", at.min().item<int64_t>(), 0, candidates() - 1);
    check_range("index", at.max().item<int64_t>(), 0, candidates() - 1);
  }
  const Tensor rows = phi_.index_select(0, at);
  return points.is_floating_point() ? rows.to(points.options()) : rows.to(points.device());
}

}  // namespace ritz::design
