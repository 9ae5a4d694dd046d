#include "ritz/dist/sharded_sum.h"

#include <torch/types.h>

#include <algorithm>

#include "ritz/base/check.h"

namespace ritz::dist {

ShardedSumOperator::ShardedSumOperator(LinearOperatorPtr local, double weight, ProcessGroup& group)
    : local_(std::move(local)), weight_(weight), group_(&group) {
  if (!local_ || local_->rows() != local_->cols())
    throw InvalidArgument("local", "a square operator", local_ ? "one that is not" : "none");
  check_non_negative("weight", weight);
}

Tensor ShardedSumOperator::do_apply(const Tensor& x) const {
  Tensor y = local_->apply(x) * weight_;
  group_->all_reduce_sum(y);
  return y;
}

Shard shard_of(int64_t n, int rank, int world_size) {
  check_at_least("n", n, 0);
  check_at_least("world_size", world_size, 1);
  check_range("rank", rank, 0, world_size - 1);
  const int64_t each = n / world_size, more = n % world_size;
  const int64_t begin = rank * each + std::min<int64_t>(rank, more);
  return {begin, begin + each + (rank < more ? 1 : 0)};
}

}  // namespace ritz::dist
