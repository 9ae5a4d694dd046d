#include <torch/types.h>

#include <algorithm>
#include <numeric>

#include "ritz/design/detail/greedy.h"

namespace ritz::design::detail {

std::vector<int64_t> remove_greedily(const Tensor& rows, Event event, double delta, int64_t keep,
                                     int64_t candidates) {
  std::vector<int64_t> kept(static_cast<size_t>(rows.size(0)));
  std::iota(kept.begin(), kept.end(), int64_t{0});
  Tensor sum = rows.t().mm(rows);  // n G
  while (static_cast<int64_t>(kept.size()) > keep) {
    const auto n = static_cast<double>(kept.size());
    std::vector<int64_t> tried = kept;
    if (candidates > 0 && candidates < static_cast<int64_t>(kept.size())) {
      // Less of a row lowers the eigenvalues it lies along: most helpful is much along the largest
      // where that is too large, little along the smallest where that is too small.
      const auto [values, vectors] = torch::linalg_eigh(sum / n);
      const int64_t m = values.size(0);
      const bool too_large = event != Event::one_sided &&
                             values[m - 1].item<double>() - 1 > 1 - values[0].item<double>();
      const Tensor along = rows.mv(vectors.select(1, too_large ? m - 1 : 0)).square().contiguous();
      const auto* a = along.data_ptr<double>();
      std::partial_sort(
          tried.begin(), tried.begin() + candidates, tried.end(),
          [&](int64_t i, int64_t j) { return too_large ? a[i] > a[j] : a[i] < a[j]; });
      tried.resize(static_cast<size_t>(candidates));
    }
    double least = delta;
    int64_t best = -1;
    for (const int64_t i : tried) {
      const Tensor rest = (sum - torch::outer(rows[i], rows[i])) / (n - 1);
      const double miss = deviation(event, torch::linalg_eigvalsh(rest));
      if (miss <= least) {
        least = miss;
        best = i;
      }
    }
    if (best < 0) break;
    sum = sum - torch::outer(rows[best], rows[best]);
    kept.erase(std::find(kept.begin(), kept.end(), best));
  }
  return kept;
}

}  // namespace ritz::design::detail
