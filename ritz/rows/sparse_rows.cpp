#include "ritz/rows/sparse_rows.h"

#include <torch/types.h>

#include <algorithm>
#include <numeric>

#include "ritz/base/check_tensor.h"

namespace ritz::rows {
namespace {

struct Indices {
  const int64_t* pointers;
  const int64_t* columns;
  explicit Indices(const SparseRows& rows)
      : pointers(rows.pointers.const_data_ptr<int64_t>()),
        columns(rows.columns.const_data_ptr<int64_t>()) {}

  /// Row i's columns rise strictly.
  bool rises(int64_t i) const {
    for (int64_t t = pointers[i] + 1; t < pointers[i + 1]; ++t)
      if (columns[t] <= columns[t - 1]) return false;
    return true;
  }
};

Tensor index_tensor(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

}  // namespace

int64_t SparseRows::rows() const {
  return pointers.size(0) - 1;
}

SparseRows SparseRows::slice(int64_t begin, int64_t count) const {
  return {pointers.narrow(0, begin, count + 1), columns, values, cols};
}

SparseRows SparseRows::select(const Tensor& which) const {
  const Indices from(*this);
  std::vector<int64_t> starts = {0}, entries;
  for (int64_t r = 0; r < which.size(0); ++r) {
    const int64_t i = which[r].item<int64_t>();
    for (int64_t t = from.pointers[i]; t < from.pointers[i + 1]; ++t) entries.push_back(t);
    starts.push_back(static_cast<int64_t>(entries.size()));
  }
  const Tensor taken = index_tensor(entries);
  return {index_tensor(starts), columns.index_select(0, taken), values.index_select(0, taken),
          cols};
}

Tensor SparseRows::dense() const {
  const int64_t b = rows(), first = pointers[0].item<int64_t>(), last = pointers[b].item<int64_t>();
  const Tensor row = torch::repeat_interleave(torch::arange(b), pointers.diff());
  const Tensor at = row * cols + columns.slice(0, first, last);
  Tensor out = torch::zeros({b, cols}, values.options());
  out.view({-1}).index_add_(0, at, values.slice(0, first, last));
  return out;
}

void check_sparse_rows(const SparseRows& rows) {
  check_dim("pointers", rows.pointers, 1);
  check_dim("columns", rows.columns, 1);
  check_at_least("cols", rows.cols, 1);
  for (const auto& [name, index] :
       {std::pair("pointers", rows.pointers), {"columns", rows.columns}})
    if (index.scalar_type() != torch::kInt64 || !index.is_contiguous() || !index.is_cpu())
      throw InvalidArgument(name, "int64, contiguous, on cpu", describe(index));
  const int64_t nonzeros = rows.columns.size(0);
  check_shape("values", rows.values, {nonzeros});
  check_floating("values", rows.values);
  if (!rows.values.is_contiguous() || !rows.values.is_cpu())
    throw InvalidArgument("values", "contiguous, on cpu", describe(rows.values));
  check_at_least("pointers' length", rows.pointers.size(0), 1);
  const Indices at(rows);
  for (int64_t i = 0, b = rows.rows(); i <= b; ++i) {
    const int64_t here = at.pointers[i], low = i == 0 ? 0 : at.pointers[i - 1];
    if (here < low || here > nonzeros)
      throw InvalidArgument("pointers", "numbers rising up to " + std::to_string(nonzeros),
                            std::to_string(here) + " at " + std::to_string(i));
  }
  for (int64_t i = 0, b = rows.rows(); i < b; ++i) {
    if (!at.rises(i))
      throw InvalidArgument("columns", "ascending in every row",
                            "others in row " + std::to_string(i));
    if (at.pointers[i] == at.pointers[i + 1]) continue;
    const int64_t low = at.columns[at.pointers[i]], high = at.columns[at.pointers[i + 1] - 1];
    if (low < 0 || high >= rows.cols)
      throw InvalidArgument("columns", "indices in [0, " + std::to_string(rows.cols) + ")",
                            std::to_string(low < 0 ? low : high));
  }
}

SparseRows in_order(const SparseRows& rows) {
  const Indices from(rows);
  const int64_t b = rows.rows();
  bool all = true;
  for (int64_t i = 0; i < b && all; ++i) all = from.rises(i);
  if (all) return rows;
  const Tensor values = rows.values.to(torch::kFloat64);
  const double* value = values.const_data_ptr<double>();
  std::vector<int64_t> starts = {0}, columns, order;
  std::vector<double> sums;
  for (int64_t i = 0; i < b; ++i) {
    order.resize(from.pointers[i + 1] - from.pointers[i]);
    std::iota(order.begin(), order.end(), from.pointers[i]);
    std::ranges::stable_sort(order, {}, [&](int64_t t) { return from.columns[t]; });
    const auto begin = static_cast<int64_t>(columns.size());
    for (const int64_t t : order) {
      if (static_cast<int64_t>(columns.size()) > begin && columns.back() == from.columns[t]) {
        sums.back() += value[t];
      } else {
        columns.push_back(from.columns[t]);
        sums.push_back(value[t]);
      }
    }
    starts.push_back(static_cast<int64_t>(columns.size()));
  }
  return {index_tensor(starts), index_tensor(columns),
          torch::tensor(sums, torch::kFloat64).to(rows.values.scalar_type()), rows.cols};
}

}  // namespace ritz::rows
