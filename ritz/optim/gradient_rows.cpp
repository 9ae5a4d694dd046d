#include "ritz/optim/detail/gradient_rows.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <map>
#include <mutex>

#include "ritz/base/check.h"
#include "ritz/base/gemm.h"

namespace ritz::optim::detail {

namespace {

/// Rows of a block of the triangle: thinner ones save work (a share of 1 / (2 blocks) of the square
/// is wasted), thicker ones run nearer to the product's best rate.
int64_t block_rows(int64_t m) {
  return m <= 64 ? m : std::max<int64_t>(32, (m / 4 + 15) / 16 * 16);
}

/// Sum over slabs of what `add(begin, width, sum)` adds to a zero `sum`: each thread has a sum of
/// its own, and these are added in the order of their columns, so that a run repeats its bits.
Tensor sum_over_slabs(const Tensor& rows, at::IntArrayRef shape, c10::ScalarType type,
                      const std::function<void(int64_t, int64_t, const Tensor&)>& add) {
  const int64_t n = rows.size(1), slab = slab_width(rows.size(0), rows);
  std::map<int64_t, Tensor> parts;  // by first slab
  std::mutex inserting;
  const auto range = [&](int64_t first, int64_t last) {
    const at::NoGradGuard no_graph;  // a thread's own
    const Tensor part = at::zeros(shape, rows.options().dtype(type));
    for (int64_t k = first; k < last; ++k) add(k * slab, std::min(slab, n - k * slab), part);
    const std::lock_guard lock(inserting);
    parts[first] = part;
  };
  const int64_t slabs = (n + slab - 1) / slab;
  if (rows.is_cpu()) {
    at::parallel_for(0, slabs, 1, range);
  } else {
    range(0, slabs);
  }
  Tensor sum = parts.begin()->second;
  for (auto part = std::next(parts.begin()); part != parts.end(); ++part) sum.add_(part->second);
  return sum;
}

/// A contiguous copy of a slab; products of strided operands would copy it at each use.
Tensor slab_of(const Tensor& rows, int64_t begin, int64_t width, c10::ScalarType compute) {
  Tensor slab = at::empty({rows.size(0), width}, rows.options().dtype(compute));
  return slab.copy_(rows.narrow(1, begin, width));
}

}  // namespace

std::vector<BlockRun> plan_blocks(int64_t d, int64_t block, const std::vector<int64_t>& segments) {
  std::vector<BlockRun> runs;
  int64_t begin = 0;
  const auto add = [&](int64_t length) {
    if (length == 0) return;
    const int64_t width = block == 0 ? length : std::min(block, length);
    runs.push_back({begin, width, length / width});
    if (length % width > 0) runs.push_back({begin + length / width * width, length % width, 1});
    begin += length;
  };
  for (const int64_t length : segments) {
    check_at_least("segments", length, 0);
    add(length);
  }
  if (segments.empty()) add(d);
  if (begin != d) {
    throw InvalidArgument("segments", "lengths that sum to " + std::to_string(d),
                          "a sum of " + std::to_string(begin));
  }
  return runs;
}

int64_t slab_width(int64_t m, const Tensor& rows) {
  if (!rows.is_cpu()) return std::max<int64_t>(1024, (int64_t{1} << 26) / m);
  constexpr int64_t kElements = int64_t{128} << 10;  // half a MiB in float32
  return std::clamp<int64_t>(kElements / m / 64 * 64, 256, 8192);
}

void for_each_slab(int64_t n, int64_t slab, const Tensor& rows,
                   const std::function<void(int64_t, int64_t)>& visit) {
  const int64_t slabs = (n + slab - 1) / slab;
  const auto range = [&](int64_t first, int64_t last) {
    const at::NoGradGuard no_graph;  // a thread's own
    for (int64_t k = first; k < last; ++k) visit(k * slab, std::min(slab, n - k * slab));
  };
  if (rows.is_cpu()) {
    at::parallel_for(0, slabs, 1, range);
  } else {
    range(0, slabs);
  }
}

Tensor gather_blocks(const Tensor& rows, const BlockRun& run, int64_t first, int64_t count,
                     c10::ScalarType compute) {
  const int64_t m = rows.size(0);
  const Tensor view = rows.narrow(1, run.begin + first * run.width, count * run.width)
                          .unflatten(1, {count, run.width})
                          .permute({1, 0, 2});
  return at::empty({count, m, run.width}, rows.options().dtype(compute)).copy_(view);
}

void check_rows_finite(const Tensor& gram) {
  const Tensor norms = gram.diagonal(0, -2, -1);
  const Tensor bad = at::isfinite(norms).logical_not();
  if (!bad.any().item<bool>()) return;
  const int64_t row = bad.reshape({-1, bad.size(-1)}).any(0).nonzero()[0].item<int64_t>();
  throw InvalidArgument("gradients", "finite numbers", "NaN or Inf", "row " + std::to_string(row));
}

Tensor gram(const Tensor& rows, c10::ScalarType compute) {
  const int64_t m = rows.size(0), step = block_rows(m);
  const Tensor K = sum_over_slabs(
      rows, {m, m}, at::kDouble, [&](int64_t begin, int64_t width, const Tensor& sum) {
        const Tensor G = slab_of(rows, begin, width, compute);
        for (int64_t r = 0; r < m; r += step) {
          const int64_t end = std::min(m, r + step);
          sum.narrow(0, r, end - r)
              .narrow(1, 0, end)
              .add_(gemm_nt(G.narrow(0, r, end - r), G.narrow(0, 0, end)));
        }
      });
  return K.tril() + K.tril(-1).t();
}

void multiply_lower(const Tensor& T, const Tensor& rows, const Tensor& out) {
  const int64_t m = rows.size(0), step = block_rows(m);
  for_each_slab(rows.size(1), slab_width(m, rows), rows, [&](int64_t begin, int64_t width) {
    const Tensor G = slab_of(rows, begin, width, out.scalar_type());
    for (int64_t r = 0; r < m; r += step) {
      const int64_t end = std::min(m, r + step);
      out.narrow(0, r, end - r)
          .narrow(1, begin, width)
          .copy_(gemm(T.narrow(0, r, end - r).narrow(1, 0, end), G.narrow(0, 0, end)));
    }
  });
}

Tensor times(const Tensor& rows, const Tensor& x) {
  if (rows.scalar_type() == x.scalar_type()) {
    return x.size(1) == 1 ? rows.mv(x.select(1, 0)).unsqueeze(1) : gemm(rows, x);
  }
  return sum_over_slabs(
      rows, {rows.size(0), x.size(1)}, x.scalar_type(),
      [&](int64_t begin, int64_t width, const Tensor& sum) {
        sum.add_(slab_of(rows, begin, width, x.scalar_type()).mm(x.narrow(0, begin, width)));
      });
}

Tensor transposed_times(const Tensor& rows, const Tensor& c) {
  if (rows.scalar_type() == c.scalar_type()) {
    return c.size(1) == 1 ? rows.t().mv(c.select(1, 0)).unsqueeze(1) : gemm(rows.t(), c);
  }
  Tensor out = at::empty({rows.size(1), c.size(1)}, c.options());
  for_each_slab(
      rows.size(1), slab_width(rows.size(0), rows), rows, [&](int64_t begin, int64_t width) {
        out.narrow(0, begin, width).copy_(slab_of(rows, begin, width, c.scalar_type()).t().mm(c));
      });
  return out;
}

}  // namespace ritz::optim::detail
