#pragma once
#include <cstdint>

namespace ritz::rows::detail {

/// The mean of numbers over the last stretch of a sequence; each stretch is as long as all before
/// it. Early numbers, of an estimate that was yet poor, so do not weigh.
struct Stretches {
  double sum = 0, previous_sum = 0;
  int64_t count = 0, previous_count = 0, all = 0;

  void add(double value) {
    sum += value;
    ++count;
    ++all;
    if (2 * count <= all || all == 1) return;
    previous_sum = sum;
    previous_count = count;
    sum = 0;
    count = 0;
  }
  /// The running stretch's, or the one's before while that is more than twice as long.
  double mean() const {
    if (count > 0 && 2 * count >= previous_count) return sum / static_cast<double>(count);
    return previous_count > 0 ? previous_sum / static_cast<double>(previous_count) : 0;
  }
  void scale(double factor) {
    sum *= factor;
    previous_sum *= factor;
  }
};

}  // namespace ritz::rows::detail
