#pragma once
// The rows of largest norm of a stream.
#include <cstdint>
#include <optional>
#include <vector>

#include "ritz/base/tensor.h"

namespace ritz::rows::detail {

/// A row that left: a copy of it.
struct KeptRow {
  Tensor row;  // [d]
  double norm = 0;
  int64_t number = 0;
};

/// At most `capacity` rows; among equal norms those that came first (had the lower number).
/// A place is given up by the smallest, which is found by a look at all keys: rows enter so seldom
/// (capacity ln(n / capacity) times in a shuffled stream) that a heap would gain nothing.
class LargestRows {
 public:
  LargestRows() = default;
  /// Memory is taken by the first row.
  LargestRows(int64_t capacity, int64_t d, const TensorOptions& options);

  int64_t size() const { return static_cast<int64_t>(norms_.size()); }
  bool full() const { return size() == capacity_; }
  /// Squared norm of the smallest; 0 where there is none.
  double smallest() const { return norms_.empty() ? 0 : norms_[least_]; }
  bool takes(double norm) const { return capacity_ > 0 && (!full() || norm > norms_[least_]); }

  /// Puts a row [d] in that `takes` agreed to; what had to leave for it, if anything.
  std::optional<KeptRow> put(const Tensor& row, double norm, int64_t number);
  /// Takes the smallest out.
  KeptRow drop();

  Tensor rows() const;  // [size, d], a view
  const std::vector<double>& norms() const { return norms_; }
  const std::vector<int64_t>& numbers() const { return numbers_; }
  void scale(double factor);
  /// Numbers that are not negative become larger by `shift`.
  void renumber(int64_t shift);
  LargestRows clone() const;
  int64_t bits() const;

 private:
  void find_least();

  int64_t capacity_ = 0, d_ = 0;
  TensorOptions options_;
  Tensor rows_;  // [capacity, d]
  std::vector<double> norms_;
  std::vector<int64_t> numbers_;
  size_t least_ = 0;
};

}  // namespace ritz::rows::detail
