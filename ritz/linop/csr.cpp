#include "ritz/linop/csr.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/parallel.h"

namespace ritz {
namespace {

Tensor index_tensor(std::string_view name, const Tensor& index) {
  check_dim(name, index, 1);
  if (index.scalar_type() != torch::kInt && index.scalar_type() != torch::kLong) {
    throw InvalidArgument(name, "dtype int32 or int64", describe(index));
  }
  return index.to(torch::kLong);
}

void check_indices(const Tensor& pointers, const Tensor& columns, const Tensor& values,
                   int64_t cols) {
  const int64_t nonzeros = columns.size(0);
  check_shape("values", values, {nonzeros});
  check_floating("values", values, true);
  check_at_least("row_pointers' length", pointers.size(0), 1);
  const auto rises = pointers.numel() < 2 || (pointers.diff() >= 0).all().item<bool>();
  if (pointers[0].item<int64_t>() != 0 || pointers[-1].item<int64_t>() != nonzeros || !rises) {
    throw InvalidArgument("row_pointers", "numbers rising from 0 to " + std::to_string(nonzeros),
                          "others, from " + std::to_string(pointers[0].item<int64_t>()) + " to " +
                              std::to_string(pointers[-1].item<int64_t>()));
  }
  if (nonzeros == 0) return;
  const auto low = columns.min().item<int64_t>(), high = columns.max().item<int64_t>();
  if (low < 0 || high >= cols) {
    throw InvalidArgument("columns", "indices in [0, " + std::to_string(cols) + ")",
                          std::to_string(low < 0 ? low : high));
  }
}

// Y <- A X for X [cols, k] row by row: k multiplications for each index read.
template <class Scalar>
void multiply(const Tensor& pointers, const Tensor& columns, const Tensor& values, const Tensor& X,
              const Tensor& Y) {
  const int64_t* start = pointers.const_data_ptr<int64_t>();
  const int64_t* column = columns.const_data_ptr<int64_t>();
  const Scalar* value = values.const_data_ptr<Scalar>();
  const Scalar* x = X.const_data_ptr<Scalar>();
  Scalar* y = Y.mutable_data_ptr<Scalar>();
  const int64_t k = X.size(1);
  parallel_for(0, Y.size(0), 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (k == 1) {
        Scalar sum(0);
        for (int64_t e = start[i]; e < start[i + 1]; ++e) sum += value[e] * x[column[e]];
        y[i] = sum;
        continue;
      }
      std::fill(y + i * k, y + (i + 1) * k, Scalar(0));
      for (int64_t e = start[i]; e < start[i + 1]; ++e) {
        const Scalar a = value[e];
        const Scalar* from = x + column[e] * k;
        for (int64_t c = 0; c < k; ++c) y[i * k + c] += a * from[c];
      }
    }
  });
}

}  // namespace

CsrOperator::CsrOperator(const Tensor& row_pointers, const Tensor& columns, const Tensor& values,
                         int64_t cols, bool symmetric)
    : symmetric_(symmetric) {
  check_at_least("cols", cols, 0);
  const auto pointers = index_tensor("row_pointers", row_pointers);
  const auto indices = index_tensor("columns", columns);
  check_indices(pointers, indices, values, cols);
  matrix_ = {pointers.size(0) - 1, cols, pointers, indices, values.contiguous().resolve_conj()};
  if (!symmetric_) return;
  if (const auto gap = asymmetry(); !(gap <= 1e-6)) {
    throw InvalidArgument("values", "a symmetric matrix",
                          "max |A - A^T| = " + number_text(gap) + " max |A|");
  }
}

Tensor CsrOperator::row_of_each(const Matrix& A) {
  return torch::arange(A.rows, A.pointers.options()).repeat_interleave(A.pointers.diff());
}

// Entries sorted by column; the sort is stable, so rows rise within each.
CsrOperator::Matrix CsrOperator::adjoint_of(const Matrix& A) {
  const auto order = std::get<1>(A.columns.sort(/*stable=*/true, 0, false));
  const auto counts = torch::bincount(A.columns, {}, A.cols);
  return {A.cols, A.rows, torch::cat({torch::zeros({1}, counts.options()), counts.cumsum(0)}),
          row_of_each(A).index_select(0, order),
          A.values.index_select(0, order).conj().resolve_conj()};
}

Tensor CsrOperator::product(const Matrix& A, const Tensor& x) {
  const auto X = (x.dim() == 1 ? x.unsqueeze(1) : x).contiguous().resolve_conj();
  Tensor Y;
  if (X.is_cpu()) {
    Y = torch::empty({A.rows, X.size(1)}, X.options());
    switch (X.scalar_type()) {
      case torch::kFloat:
        multiply<float>(A.pointers, A.columns, A.values, X, Y);
        break;
      case torch::kDouble:
        multiply<double>(A.pointers, A.columns, A.values, X, Y);
        break;
      case torch::kComplexFloat:
        multiply<c10::complex<float>>(A.pointers, A.columns, A.values, X, Y);
        break;
      default:
        multiply<c10::complex<double>>(A.pointers, A.columns, A.values, X, Y);
    }
  } else {  // any device, at the cost of an [nnz, k] temporary
    Y = torch::zeros({A.rows, X.size(1)}, X.options());
    Y.index_add_(0, row_of_each(A), A.values.unsqueeze(1) * X.index_select(0, A.columns));
  }
  return x.dim() == 1 ? Y.squeeze(1) : Y;
}

double CsrOperator::asymmetry() const {
  if (rows() != cols()) {
    throw InvalidArgument("matrix", "a square matrix",
                          std::to_string(rows()) + " rows, " + std::to_string(cols()) + " columns");
  }
  if (nonzeros() == 0) return 0;
  // Entries of A and of -A^H, added where their positions agree.
  const auto rows_of = row_of_each(matrix_);
  const auto at =
      torch::cat({rows_of * cols() + matrix_.columns, matrix_.columns * cols() + rows_of});
  const auto values = torch::cat({matrix_.values, -matrix_.values.conj()});
  const auto [positions, slot] = at::_unique(at, true, true);
  const auto gap = torch::zeros({positions.size(0)}, values.options()).index_add_(0, slot, values);
  const double worst = gap.abs().max().item<double>();
  return worst == 0 ? 0 : worst / matrix_.values.abs().max().item<double>();
}

Tensor CsrOperator::do_apply(const Tensor& x) const {
  return product(matrix_, x);
}

Tensor CsrOperator::do_apply_adjoint(const Tensor& x) const {
  if (symmetric_) return product(matrix_, x);
  std::call_once(adjoint_once_, [this] { adjoint_ = adjoint_of(matrix_); });
  return product(adjoint_, x);
}

}  // namespace ritz
