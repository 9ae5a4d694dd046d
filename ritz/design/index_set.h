#pragma once
// Which products of one-variable functions span a space of several variables.
//
//   tensor      max_j a_j l_j <= degree
//   total       sum_j a_j l_j <= degree
//   hyperbolic  prod_j (l_j + 1)^{a_j} <= degree + 1          l_j = level_of(family_j, k_j)
//
// in graded lexicographic order: by sum_j l_j, then by k_1, then by k_2, ...
#include <string>
#include <string_view>
#include <vector>

#include "ritz/base/tensor.h"
#include "ritz/design/family.h"

namespace ritz::design {

enum class IndexKind { tensor, total, hyperbolic };
IndexKind parse_index_kind(std::string_view text);
std::string_view index_kind_name(IndexKind kind);

struct IndexSetOptions {
  IndexKind kind = IndexKind::total;
  int64_t degree = 5;                   // >= 0
  std::vector<double> anisotropy = {};  // a_j > 0, one a coordinate; empty: all 1
  int64_t most = 100'000;               // more indices than this are an error
};

/// int64 [m, d]: row i has the function numbers k_1 ... k_d of basis function i.
Tensor index_set(const std::vector<Family>& families, const IndexSetOptions& options);

}  // namespace ritz::design
