#pragma once
// Sums over the rows of a tall matrix, panels shared out over the threads.
#include <cstdint>
#include <functional>

#include "ritz/base/tensor.h"

namespace ritz::rows::detail {

struct PanelSum {
  Tensor matrix;     // [d, d] float64, from zero
  double total = 0;  // a sum
  double most = 0;   // a maximum
};

/// Calls use(panel [b, d] float64, first row, sum) for consecutive panels of A [n, d]; each thread
/// has a stretch of panels and a sum of its own, joined in the rows' order. Products of panels this
/// size are too short to share out themselves.
PanelSum sum_over_panels(
    const Tensor& A,
    const std::function<void(const Tensor& panel, int64_t begin, PanelSum& sum)>& use);

}  // namespace ritz::rows::detail
