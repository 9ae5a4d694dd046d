#include <torch/types.h>

#include "ritz/rows/top_vector/detail/largest_rows.h"

namespace ritz::rows::detail {

LargestRows::LargestRows(int64_t capacity, int64_t d, const TensorOptions& options)
    : capacity_(capacity), d_(d), options_(options) {}

Tensor LargestRows::rows() const {
  return rows_.defined() ? rows_.narrow(0, 0, size()) : torch::empty({0, d_}, options_);
}

void LargestRows::find_least() {
  least_ = 0;
  for (size_t i = 1; i < norms_.size(); ++i)
    if (norms_[i] < norms_[least_] ||
        (norms_[i] == norms_[least_] && numbers_[i] > numbers_[least_]))
      least_ = i;
}

std::optional<KeptRow> LargestRows::put(const Tensor& row, double norm, int64_t number) {
  if (!rows_.defined()) {
    rows_ = torch::empty({capacity_, d_}, options_);
    norms_.reserve(capacity_);
    numbers_.reserve(capacity_);
  }
  if (!full()) {
    rows_[size()].copy_(row);
    norms_.push_back(norm);
    numbers_.push_back(number);
    const size_t last = norms_.size() - 1;
    if (norm < norms_[least_] || (norm == norms_[least_] && number > numbers_[least_]))
      least_ = last;
    return std::nullopt;
  }
  const auto place = static_cast<int64_t>(least_);
  KeptRow left{rows_[place].clone(), norms_[least_], numbers_[least_]};
  rows_[place].copy_(row);
  norms_[least_] = norm;
  numbers_[least_] = number;
  find_least();
  return left;
}

KeptRow LargestRows::drop() {
  const auto place = static_cast<int64_t>(least_), last = size() - 1;
  KeptRow left{rows_[place].clone(), norms_[least_], numbers_[least_]};
  if (place != last) rows_[place].copy_(rows_[last]);
  norms_[least_] = norms_.back();
  numbers_[least_] = numbers_.back();
  norms_.pop_back();
  numbers_.pop_back();
  find_least();
  return left;
}

void LargestRows::scale(double factor) {
  rows().mul_(factor);
  for (double& norm : norms_) norm *= factor * factor;
}

void LargestRows::renumber(int64_t shift) {
  for (int64_t& number : numbers_)
    if (number >= 0) number += shift;
}

LargestRows LargestRows::clone() const {
  LargestRows copy = *this;
  if (rows_.defined()) copy.rows_ = rows_.clone();
  return copy;
}

int64_t LargestRows::bits() const {
  return rows_.defined() ? 8 * rows_.numel() * rows_.element_size() + 128 * capacity_ : 0;
}

}  // namespace ritz::rows::detail
