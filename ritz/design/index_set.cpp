#include "ritz/design/index_set.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ritz/base/check.h"

namespace ritz::design {
namespace {

using Index = std::vector<int64_t>;

class Enumeration {
 public:
  Enumeration(const std::vector<Family>& families, const IndexSetOptions& options)
      : families_(families), options_(options), index_(families.size(), 0) {
    visit(0, options.kind == IndexKind::hyperbolic ? 1 : 0);
  }
  std::vector<Index> found;

 private:
  const std::vector<Family>& families_;
  const IndexSetOptions& options_;
  Index index_;

  // What coordinates before j have used of the degree, with level l of coordinate j added.
  double used_with(double used, size_t j, int64_t level) const {
    const double a = options_.anisotropy.empty() ? 1 : options_.anisotropy[j];
    const auto l = static_cast<double>(level);
    if (options_.kind == IndexKind::tensor) return std::max(used, a * l);
    return options_.kind == IndexKind::total ? used + a * l : used * std::pow(l + 1, a);
  }

  void visit(size_t j, double used) {
    if (j == families_.size()) {
      found.push_back(index_);
      if (static_cast<int64_t>(found.size()) > options_.most) {
        throw InvalidArgument("--degree",
                              "a space of at most " + std::to_string(options_.most) + " functions",
                              "more");
      }
      return;
    }
    // Products of roots come out a rounding above the integer they stand for.
    const double limit = static_cast<double>(options_.degree) +
                         (options_.kind == IndexKind::hyperbolic ? 1 : 0) + 1e-9;
    for (int64_t level = 0;; ++level) {
      const double next = used_with(used, j, level);
      if (next > limit || level > max_degree(families_[j])) break;
      for (int64_t k = level == 0 ? 0 : functions_to(families_[j], level - 1);
           k < functions_to(families_[j], level); ++k) {
        index_[j] = k;
        visit(j + 1, next);
      }
    }
    index_[j] = 0;
  }
};

}  // namespace

IndexKind parse_index_kind(std::string_view text) {
  if (text == "tensor") return IndexKind::tensor;
  if (text == "total") return IndexKind::total;
  if (text == "hyperbolic") return IndexKind::hyperbolic;
  throw InvalidArgument("--index", "tensor, total or hyperbolic", text);
}

std::string_view index_kind_name(IndexKind kind) {
  if (kind == IndexKind::tensor) return "tensor";
  return kind == IndexKind::total ? "total" : "hyperbolic";
}

Tensor index_set(const std::vector<Family>& families, const IndexSetOptions& options) {
  check_at_least("dim", static_cast<int64_t>(families.size()), 1);
  check_at_least("--degree", options.degree, 0);
  for (const auto& family : families) {
    if (options.anisotropy.empty() && options.degree > max_degree(family)) {
      throw InvalidArgument(
          "--degree",
          "at most " + std::to_string(max_degree(family)) + " for " + family_name(family),
          std::to_string(options.degree));
    }
  }
  if (!options.anisotropy.empty() && options.anisotropy.size() != families.size()) {
    throw InvalidArgument("--anisotropy",
                          std::to_string(families.size()) + " numbers, one a coordinate",
                          std::to_string(options.anisotropy.size()));
  }
  for (const double a : options.anisotropy) check_positive("--anisotropy", a);

  auto found = Enumeration(families, options).found;
  std::vector<std::pair<int64_t, Index>> graded;
  for (auto& index : found) {
    int64_t grade = 0;
    for (size_t j = 0; j < index.size(); ++j) grade += level_of(families[j], index[j]);
    graded.emplace_back(grade, std::move(index));
  }
  std::sort(graded.begin(), graded.end());
  const auto m = static_cast<int64_t>(graded.size()), d = static_cast<int64_t>(families.size());
  Tensor out = torch::empty({m, d}, torch::kInt64);
  auto* to = out.data_ptr<int64_t>();
  for (const auto& [grade, index] : graded) to = std::copy(index.begin(), index.end(), to);
  return out;
}

}  // namespace ritz::design
