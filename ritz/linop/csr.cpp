#include "ritz/linop/csr.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

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

// int32 indices where they fit: libtorch's wheel calls an MKL with 32-bit integers and would
// convert them at each product.
Tensor make_csr(Tensor pointers, Tensor columns, const Tensor& values, int64_t rows, int64_t cols) {
  constexpr int64_t kLimit = std::numeric_limits<int32_t>::max();
  if (values.numel() < kLimit && cols < kLimit && rows < kLimit) {
    pointers = pointers.to(torch::kInt);
    columns = columns.to(torch::kInt);
  }
  return at::_sparse_csr_tensor_unsafe(pointers, columns, values, {rows, cols},
                                       values.options().layout(torch::kSparseCsr));
}

// A^H: entries sorted by column; the sort is stable, so rows rise within each.
Tensor transpose_csr(const Tensor& matrix) {
  const int64_t rows = matrix.size(0), cols = matrix.size(1);
  const auto pointers = matrix.crow_indices().to(torch::kLong);
  const auto columns = matrix.col_indices().to(torch::kLong);
  const auto row_of = torch::arange(rows, pointers.options()).repeat_interleave(pointers.diff());
  const auto [sorted, order] = columns.sort(/*stable=*/true, 0, false);
  const auto counts = torch::bincount(columns, {}, cols);
  const auto start = torch::cat({torch::zeros({1}, counts.options()), counts.cumsum(0)});
  return make_csr(start, row_of.index_select(0, order),
                  matrix.values().index_select(0, order).conj().resolve_conj(), cols, rows);
}

Tensor product(const Tensor& A, const Tensor& x) {
  const auto y = A.matmul(x.dim() == 1 ? x.unsqueeze(1) : x);
  return x.dim() == 1 ? y.squeeze(1) : y;
}

}  // namespace

CsrOperator::CsrOperator(const Tensor& row_pointers, const Tensor& columns, const Tensor& values,
                         int64_t cols, bool symmetric)
    : cols_(cols), symmetric_(symmetric) {
  check_at_least("cols", cols, 0);
  const auto pointers = index_tensor("row_pointers", row_pointers);
  const auto indices = index_tensor("columns", columns);
  check_indices(pointers, indices, values, cols);
  rows_ = pointers.size(0) - 1;
  nonzeros_ = indices.size(0);
  values_options_ = values.options();
  matrix_ = make_csr(pointers, indices, values, rows_, cols_);
  if (symmetric_) {
    if (const auto gap = asymmetry(); !(gap <= 1e-6)) {
      throw InvalidArgument("values", "a symmetric matrix",
                            "max |A - A^T| = " + number_text(gap) + " max |A|");
    }
  }
}

double CsrOperator::asymmetry() const {
  if (rows_ != cols_) {
    throw InvalidArgument("matrix", "a square matrix",
                          std::to_string(rows_) + " rows, " + std::to_string(cols_) + " columns");
  }
  if (nonzeros_ == 0) return 0;
  // Entries of A and of -A^H, added where their positions agree.
  const auto pointers = matrix_.crow_indices().to(torch::kLong);
  const auto columns = matrix_.col_indices().to(torch::kLong);
  const auto row_of = torch::arange(rows_, pointers.options()).repeat_interleave(pointers.diff());
  const auto at = torch::cat({row_of * cols_ + columns, columns * cols_ + row_of});
  const auto values = torch::cat({matrix_.values(), -matrix_.values().conj()});
  const auto [positions, slot] = at::_unique(at, true, true);
  const auto gap = torch::zeros({positions.size(0)}, values.options()).index_add_(0, slot, values);
  const double scale = matrix_.values().abs().max().item<double>();
  const double worst = gap.abs().max().item<double>();
  return worst == 0 ? 0 : worst / scale;
}

const Tensor& CsrOperator::adjoint_matrix() const {
  if (symmetric_) return matrix_;
  std::call_once(adjoint_once_, [this] { adjoint_ = transpose_csr(matrix_); });
  return adjoint_;
}

Tensor CsrOperator::do_apply(const Tensor& x) const {
  return product(matrix_, x);
}
Tensor CsrOperator::do_apply_adjoint(const Tensor& x) const {
  return product(adjoint_matrix(), x);
}

}  // namespace ritz
