#include "ritz/optim/window_factor.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ritz/base/check.h"

namespace ritz::optim {

namespace {

Tensor checked_cholesky(const Tensor& A, double damping) {
  const auto [C, info] = at::linalg_cholesky_ex(A);
  if (info.any().item<bool>()) {
    throw NotConverged("damping: " + number_text(damping) +
                       " is lost in the rounding of the window's Gram matrix; take a larger one");
  }
  return C;
}

Tensor solve_lower(const Tensor& L, const Tensor& b) {
  return at::linalg_solve_triangular(L, b, /*upper=*/false);
}

}  // namespace

WindowMode parse_window_mode(const std::string& name) {
  if (name == "chol") return WindowMode::cholesky;
  if (name == "paper") return WindowMode::paper;
  if (name == "updown") return WindowMode::updown;
  throw InvalidArgument("mode", "chol, paper or updown", name);
}

WindowFactor::WindowFactor(int64_t m, double damping, WindowMode mode)
    : m_(m), damping_(damping), mode_(mode) {
  check_at_least("m", m, 1);
  check_positive("damping", damping);
  order_ = at::zeros({m + 1}, at::kLong);
  order_.narrow(0, 0, m).copy_(at::arange(m));
  factor_ = at::zeros({m, m}, at::kDouble);
  if (mode == WindowMode::paper) {
    eliminate(at::zeros({m, m}, at::kDouble));
  } else {
    factor_.diagonal().fill_(std::sqrt(static_cast<double>(m) * damping));
  }
}

void WindowFactor::replaced(const Tensor& K, int64_t row) {
  switch (mode_) {
    case WindowMode::cholesky:
      return restart(K, row);
    case WindowMode::paper:
      return eliminate(K);
    case WindowMode::updown:
      return slide(K, row);
  }
}

/// D <- K / lambda, then for each i: D[i+1:, i+1:] -= D[i, i+1:]^T D[i, i+1:] / (m + D_ii);
/// B_i = e_i / lambda - sum_{j<i} D_ji / (m + D_jj) B_j.
///
/// Cost: m^3 / 3 and m^3 / 3 flops, on upper triangles alone.
void WindowFactor::eliminate(const Tensor& K) {
  factor_.copy_(K / damping_);
  B_ = at::zeros({m_, m_}, at::kDouble);
  double* D = factor_.mutable_data_ptr<double>();
  double* B = B_.mutable_data_ptr<double>();
  const double m = static_cast<double>(m_);
  for (int64_t i = 0; i < m_; ++i) {
    const double* pivot = D + i * m_;
    const double scale = 1 / (m + pivot[i]);
    for (int64_t j = i + 1; j < m_; ++j) {
      const double c = pivot[j] * scale;
      double* row = D + j * m_;
      for (int64_t k = j; k < m_; ++k) row[k] -= c * pivot[k];
    }
    double* b = B + i * m_;
    b[i] = 1 / damping_;
    for (int64_t j = 0; j < i; ++j) {
      const double c = D[j * m_ + i] / (m + D[j * m_ + j]);
      const double* earlier = B + j * m_;
      for (int64_t k = 0; k <= j; ++k) b[k] -= c * earlier[k];
    }
  }
  factor_.triu_();
}

/// Rows before `row` of C, and the columns before it of all others, depend on old entries alone.
///
/// Cost: n^3 / 3 + n^2 row flops with n = m - row.
void WindowFactor::restart(const Tensor& K, int64_t row) {
  const int64_t n = m_ - row;
  const double shift = static_cast<double>(m_) * damping_;
  if (row > 0) {
    const Tensor head = factor_.narrow(0, 0, row).narrow(1, 0, row);
    factor_[row].narrow(0, 0, row).copy_(
        solve_lower(head, K[row].narrow(0, 0, row).unsqueeze(1)).squeeze(1));
  }
  const Tensor left = factor_.narrow(0, row, n).narrow(1, 0, row);
  const Tensor corner = K.narrow(0, row, n).narrow(1, row, n) - left.mm(left.t());
  corner.diagonal().add_(shift);
  factor_.narrow(0, row, n).narrow(1, row, n).copy_(checked_cholesky(corner, damping_));
}

/// U from K, in logical order.
void WindowFactor::factorise(const Tensor& K) {
  const Tensor order = order_.narrow(0, 0, m_);
  const Tensor S = K.index_select(0, order).index_select(1, order);
  S.diagonal().add_(static_cast<double>(m_) * damping_);
  factor_.copy_(checked_cholesky(S, damping_).t());
  order_[m_] = 0;
}

/// Deletes the row from the logical order and appends it at the end.
///
/// Cost: 3 n^2 + m^2 flops, n the rows behind it.
void WindowFactor::slide(const Tensor& K, int64_t row) {
  int64_t* order = order_.mutable_data_ptr<int64_t>();
  double* U = factor_.mutable_data_ptr<double>();
  const int64_t at = std::find(order, order + m_, row) - order, last = m_ - 1;
  std::rotate(order + at, order + at + 1, order + m_);
  if (++order[m_] >= m_) return factorise(K);

  // Without row and column `at`, U22^T U22 grows by u u^T, u the deleted row's tail.
  std::vector<double> u(U + at * m_ + at + 1, U + (at + 1) * m_);
  for (int64_t i = 0; i < last; ++i) {
    const double* from = U + (i < at ? i : i + 1) * m_;
    double* to = U + i * m_;
    if (i < at) {
      std::memmove(to + at, from + at + 1, static_cast<size_t>(last - at) * sizeof(double));
    } else {
      std::memmove(to + i, from + i + 1, static_cast<size_t>(last - i) * sizeof(double));
    }
  }
  for (int64_t k = at; k < last; ++k) {
    double* r = U + k * m_;
    const double x = u[static_cast<size_t>(k - at)];
    const double length = std::hypot(r[k], x), c = length / r[k], s = x / r[k];
    r[k] = length;
    for (int64_t j = k + 1; j < last; ++j) {
      double& tail = u[static_cast<size_t>(j - at)];
      r[j] = (r[j] + s * tail) / c;
      tail = c * tail - s * r[j];
    }
  }
  // The new last column y solves U^T y = its Gram entries.
  const double* k_row = K.const_data_ptr<double>() + row * m_;
  std::vector<double> y(static_cast<size_t>(last));
  for (int64_t i = 0; i < last; ++i) y[static_cast<size_t>(i)] = k_row[order[i]];
  double rest = k_row[row] + static_cast<double>(m_) * damping_;
  for (int64_t i = 0; i < last; ++i) {
    double& value = y[static_cast<size_t>(i)];
    value /= U[i * m_ + i];
    for (int64_t j = i + 1; j < last; ++j) y[static_cast<size_t>(j)] -= U[i * m_ + j] * value;
    rest -= value * value;
    U[i * m_ + last] = value;
  }
  std::fill(U + last * m_, U + m_ * m_, 0.0);
  // What remains of a pivot lost in rounding is found again from K.
  if (!(rest > 1e-10 * k_row[row])) return factorise(K);
  U[last * m_ + last] = std::sqrt(rest);
}

Tensor WindowFactor::coefficients(const Tensor& Gx) const {
  if (mode_ == WindowMode::paper) {
    // c = L^-1 G x / lambda by forward elimination with D, then e = B^T (c / (m + diag D)).
    Tensor c = Gx / damping_;
    double* values = c.mutable_data_ptr<double>();
    const double* D = factor_.const_data_ptr<double>();
    const double m = static_cast<double>(m_);
    for (int64_t i = 0; i < m_; ++i) {
      const double scaled = values[i] / (m + D[i * m_ + i]);
      for (int64_t j = i + 1; j < m_; ++j) values[j] -= D[i * m_ + j] * scaled;
      values[i] = scaled;
    }
    return B_.t().mv(c);
  }
  if (mode_ == WindowMode::cholesky) {
    return at::cholesky_solve(Gx.unsqueeze(1), factor_).squeeze(1) / damping_;
  }
  const Tensor order = order_.narrow(0, 0, m_);
  const Tensor solved = at::cholesky_solve(Gx.index_select(0, order).unsqueeze(1), factor_, true);
  return at::empty_like(Gx).index_copy_(0, order, solved.squeeze(1)) / damping_;
}

}  // namespace ritz::optim
