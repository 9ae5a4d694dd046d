#include "ritz/linop/dense.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz {
namespace {

Tensor product(const Tensor& A, const Tensor& x) {
  return x.dim() == 1 ? A.mv(x) : A.mm(x);
}

}  // namespace

DenseOperator::DenseOperator(Tensor matrix) : matrix_(std::move(matrix)) {
  check_dim("matrix", matrix_, 2);
  check_floating("matrix", matrix_, true);
}

Tensor DenseOperator::do_apply(const Tensor& x) const {
  return product(matrix_, x);
}
Tensor DenseOperator::do_apply_adjoint(const Tensor& x) const {
  return product(matrix_.mH(), x);
}

SymmetricDenseOperator::SymmetricDenseOperator(Tensor matrix, double tolerance)
    : matrix_(std::move(matrix)) {
  check_dim("matrix", matrix_, 2);
  check_floating("matrix", matrix_, true);
  check_shape("matrix", matrix_, {matrix_.size(0), matrix_.size(0)});
  if (tolerance < 0 || matrix_.numel() == 0) return;
  // In row slabs: a difference of the whole matrix would double its memory.
  const int64_t n = matrix_.size(0), slab = std::max<int64_t>(1, (int64_t{1} << 22) / n);
  double scale = 0, worst = 0;
  int64_t worst_row = 0, worst_column = 0;
  for (int64_t begin = 0; begin < n; begin += slab) {
    const auto rows = matrix_.slice(0, begin, begin + slab);
    const auto gap = (rows - matrix_.slice(1, begin, begin + slab).mH()).abs().flatten();
    const auto at = gap.argmax().item<int64_t>();
    const auto value = gap[at].item<double>();
    scale = std::max(scale, rows.abs().max().item<double>());
    if (!(value <= worst)) {
      worst = value;
      worst_row = begin + at / n;
      worst_column = at % n;
    }
  }
  if (!(worst <= tolerance * scale)) {
    throw InvalidArgument("matrix", "a symmetric matrix of finite numbers",
                          "|A_ij - A_ji| = " + number_text(worst) + " at i = " +
                              std::to_string(worst_row) + ", j = " + std::to_string(worst_column));
  }
}

Tensor SymmetricDenseOperator::do_apply(const Tensor& x) const {
  return product(matrix_, x);
}

Tensor to_dense(const LinearOperator& op, int64_t block) {
  check_at_least("block", block, 1);
  auto matrix = torch::empty({op.rows(), op.cols()}, op.options());
  for (int64_t begin = 0; begin < op.cols(); begin += block) {
    const int64_t k = std::min(block, op.cols() - begin);
    auto columns = torch::zeros({op.cols(), k}, op.options());
    columns.slice(0, begin, begin + k).fill_diagonal_(1);
    matrix.slice(1, begin, begin + k).copy_(op.apply(columns));
  }
  return matrix;
}

}  // namespace ritz
