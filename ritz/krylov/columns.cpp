#include "ritz/krylov/detail/columns.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/parallel.h"
#include "ritz/krylov/detail/vectors.h"

namespace ritz::detail {
namespace {

constexpr int64_t kRows = 16384;  // a part of the sum; fixed, so that sums do not depend on threads

// sums[j] += sum_i x_ij y_ij over rows begin..end of contiguous blocks of k columns.
template <class Real>
void dots(const Real* x, const Real* y, int64_t begin, int64_t end, int64_t k, double* sums) {
  if (k == 1) {
    double part[4] = {0, 0, 0, 0};  // four chains of additions instead of one
    int64_t i = begin;
    for (; i + 4 <= end; i += 4) {
      for (int l = 0; l < 4; ++l)
        part[l] += static_cast<double>(x[i + l]) * static_cast<double>(y[i + l]);
    }
    for (; i < end; ++i) part[0] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
    sums[0] += (part[0] + part[1]) + (part[2] + part[3]);
    return;
  }
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t j = 0; j < k; ++j) {
      sums[j] += static_cast<double>(x[i * k + j]) * static_cast<double>(y[i * k + j]);
    }
  }
}

template <class Real>
Scalars dots(const Tensor& x, const Tensor& y) {
  const Real* a = x.const_data_ptr<Real>();
  const Real* b = y.const_data_ptr<Real>();
  const int64_t n = x.size(0), k = x.size(1), parts = (n + kRows - 1) / kRows;
  std::vector<double> partial(static_cast<size_t>(parts * k), 0);
  parallel_for(0, parts, 4, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      dots(a, b, p * kRows, std::min(n, (p + 1) * kRows), k, partial.data() + p * k);
    }
  });
  Scalars sums(static_cast<size_t>(k), 0);
  for (int64_t p = 0; p < parts; ++p) {
    for (int64_t j = 0; j < k; ++j) {
      sums[static_cast<size_t>(j)] += partial[static_cast<size_t>(p * k + j)];
    }
  }
  return sums;
}

Tensor as_row(const Scalars& a, const Tensor& like) {
  return torch::tensor(a, torch::kFloat64).to(like.device(), like.scalar_type());
}

}  // namespace

Scalars column_dots(const Tensor& x, const Tensor& y) {
  if (x.is_cpu() && !x.is_complex() && x.is_contiguous() && y.is_contiguous()) {
    return x.scalar_type() == torch::kFloat ? dots<float>(x, y) : dots<double>(x, y);
  }
  const auto products = x.is_complex() ? at::real(x.conj() * y) : x * y;
  const auto sums = products.sum(0, false, torch::kDouble).cpu();
  const double* data = sums.const_data_ptr<double>();
  return {data, data + sums.numel()};
}

Scalars column_norms(const Tensor& x) {
  auto norms = column_dots(x, x);
  for (double& norm : norms) norm = std::sqrt(norm);
  return norms;
}

void add_columns(const Tensor& x, const Scalars& a, const Tensor& y) {
  if (a.size() == 1) {
    x.add_(y, a[0]);
  } else {
    x.addcmul_(y, as_row(a, x));
  }
}

void scale_columns(const Tensor& x, const Scalars& a) {
  if (a.size() == 1) {
    x.mul_(a[0]);
  } else {
    x.mul_(as_row(a, x));
  }
}

Tensor block_of(std::string_view name, const Tensor& b, int64_t n, const TensorOptions& options) {
  if (!b.defined() || (b.dim() != 1 && b.dim() != 2) || b.size(0) != n ||
      (b.dim() == 2 && b.size(1) < 1)) {
    const auto size = std::to_string(n);
    throw InvalidArgument(name, "shape [" + size + "] or [" + size + ", k]", describe(b));
  }
  check_options(name, b, options);
  check_finite(name, b);
  return (b.dim() == 1 ? b.unsqueeze(1) : b).contiguous().resolve_conj();
}

Tensor shape_like(const Tensor& x, const Tensor& b) {
  return b.dim() == 1 ? x.squeeze(1) : x;
}

void check_solve(const LinearOperator& A, const SolveOptions& options) {
  check_square("A", A);
  check_non_negative("rtol", options.rtol);
  check_non_negative("atol", options.atol);
  check_at_least("max_iterations", options.max_iterations, 0);
  if (const auto* M = options.preconditioner) {
    if (M->rows() != A.rows() || M->cols() != A.rows()) {
      const auto n = std::to_string(A.rows());
      throw InvalidArgument("preconditioner", n + " x " + n,
                            std::to_string(M->rows()) + " x " + std::to_string(M->cols()));
    }
    check_options("preconditioner", torch::empty({0}, M->options()), A.options());
  }
}

void conclude(std::string_view solver, SolveResult& result, bool require_converged) {
  result.converged = true;
  for (size_t j = 0; j < result.stop.size(); ++j) {
    if (result.stop[j] == Stop::converged) continue;
    result.converged = false;
    if (require_converged) {
      throw NotConverged(std::string(solver) + ": column " + std::to_string(j) + " ended as " +
                         std::string(stop_name(result.stop[j])) + " after " +
                         std::to_string(result.iterations) + " iterations, residual " +
                         number_text(result.residuals[j].back()));
    }
  }
}

}  // namespace ritz::detail

namespace ritz {

std::string_view stop_name(Stop stop) {
  switch (stop) {
    case Stop::converged:
      return "converged";
    case Stop::least_squares:
      return "least_squares";
    case Stop::condition_limit:
      return "condition_limit";
    case Stop::max_iterations:
      return "max_iterations";
    case Stop::not_positive_definite:
      return "not_positive_definite";
    case Stop::singular:
      return "singular";
    default:
      return "stagnated";
  }
}

}  // namespace ritz
