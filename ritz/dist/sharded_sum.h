#pragma once
// A symmetric operator whose terms are spread over ranks: each holds the curvature of its share of
// the data.
#include "ritz/dist/process_group.h"
#include "ritz/linop/linear_operator.h"

namespace ritz::dist {

/// y = sum over ranks r of weight_r A_r x, one all-reduce of x's size a product. x must be the same
/// on all ranks and y then is, bit for bit, so that a Lanczos run on every rank stays in step.
/// For the mean over N samples, n_r of them here, weight_r = n_r / N.
class ShardedSumOperator : public SymmetricOperator {
 public:
  /// `group` must outlive the operator.
  ShardedSumOperator(LinearOperatorPtr local, double weight, ProcessGroup& group);
  int64_t rows() const override { return local_->rows(); }
  TensorOptions options() const override { return local_->options(); }

 private:
  Tensor do_apply(const Tensor& x) const override;

  LinearOperatorPtr local_;
  double weight_;
  ProcessGroup* group_;
};

/// The first row and the end of rank r's contiguous share of n rows; shares differ by one at most.
struct Shard {
  int64_t begin = 0, end = 0;
};
Shard shard_of(int64_t n, int rank, int world_size);

}  // namespace ritz::dist
