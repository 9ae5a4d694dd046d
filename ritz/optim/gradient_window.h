#pragma once
// The last m gradients of a training run, and the two products with them that the optimisers on
// such a window need (M-FAC, GGT): O(m d) each, bound by reading the window from memory.
#include <string>
#include <vector>

#include "ritz/dist/process_group.h"
#include "ritz/nn/network.h"

namespace ritz::optim {

struct GradientWindowOptions {
  int64_t m = 1024;  // gradients kept
  /// What a number of the window is kept in: the parameters' dtype, or half of float32. Rows of
  /// half precision are scaled by a power of two to a largest element near 1, so that small
  /// gradients keep their digits; products sum in float64 (CPU) or the parameters' dtype.
  std::string storage = "full";  // full, bfloat16, float16
  int64_t memory_limit = 0;      // bytes of all ranks' shares on this machine; 0: 80 % of what is
                                 // free
  dist::ProcessGroup* group = nullptr;  // its ranks share out the columns; null: this process alone
};

/// A ring of m rows of length d; zeros at first. On P ranks each holds the columns
/// `dist::shard_of(d, rank, P)`; every rank calls the same members with the same gradients and gets
/// the same results.
class GradientWindow {
 public:
  /// `options`: dtype and device of the gradients. Throws InvalidArgument where m d numbers exceed
  /// the memory limit, with the number and the choices.
  GradientWindow(int64_t d, const TensorOptions& tensor, const GradientWindowOptions& options);

  int64_t capacity() const { return rows_.size(0); }
  int64_t size() const { return d_; }

  /// Row `row` <- gradient [d]. The gradient is rounded to the window's storage too, in place: F^-1
  /// of a gradient that differs from its row would be that difference over the damping.
  void replace(int64_t row, const Tensor& gradient);
  /// G x [m] in float64 on the CPU; sends m words.
  Tensor dots(const Tensor& x) const;
  /// out [d] <- scale x - G^T c for c [m] float64; sends d words (gathers the ranks' shares).
  void combine(const Tensor& x, double scale, const Tensor& c, const Tensor& out) const;

  /// The window as tensors for a checkpoint, whole on every rank: "rows" [m, d] and "scales" [m].
  /// A collective of d m words.
  std::vector<nn::NamedTensor> state() const;
  void set_state(const Tensor& rows, const Tensor& scales);

 private:
  bool fast() const;
  int64_t d_, begin_, length_;  // this rank's columns
  Tensor rows_;                 // [m, length], rows padded apart
  Tensor scales_;               // [m] float64: powers of two; a row is scale times what is stored
  dist::ProcessGroup* group_;
};

}  // namespace ritz::optim
