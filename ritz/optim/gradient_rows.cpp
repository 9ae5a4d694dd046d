#include "ritz/optim/detail/gradient_rows.h"

#include <torch/types.h>

#include <map>
#include <mutex>

#include "ritz/base/check.h"
#include "ritz/base/gemm.h"
#include "ritz/base/parallel.h"
#include "ritz/optim/detail/triangle_kernels.h"

namespace ritz::optim::detail {

namespace {

/// What a core's own cache should hold of a slab, in bytes: of one that is read alone, and of one
/// beside the product that is written.
constexpr int64_t kReadBytes = 768 << 10, kWriteBytes = 384 << 10;

int64_t kernel_width(int64_t m, int64_t bytes, c10::ScalarType type) {
  const int64_t columns = bytes / m / static_cast<int64_t>(c10::elementSize(type));
  return std::clamp<int64_t>(columns / 48 * 48, 96, 9600);
}

/// Sum over slabs of what `add(first slab, end, sum)` adds to a zero `sum`: each thread has a sum
/// of its own, and these are added in the order of their columns, so that a run repeats its bits.
Tensor sum_over_slabs(const Tensor& rows, int64_t slabs, at::IntArrayRef shape,
                      c10::ScalarType type,
                      const std::function<void(int64_t, int64_t, const Tensor&)>& add) {
  std::map<int64_t, Tensor> parts;  // by first slab
  std::mutex inserting;
  const auto range = [&](int64_t first, int64_t last) {
    const at::NoGradGuard no_graph;  // a thread's own
    const Tensor part = at::zeros(shape, rows.options().dtype(type));
    add(first, last, part);
    const std::lock_guard lock(inserting);
    parts[first] = part;
  };
  if (rows.is_cpu()) {
    ritz::parallel_for(0, slabs, 1, range);
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

/// visit(slab, its first column) for slabs of columns of `rows` copied into one buffer.
template <class T, class Visit>
void visit_slabs(const Tensor& rows, int64_t width, int64_t first, int64_t last,
                 const Visit& visit) {
  const int64_t m = rows.size(0), n = rows.size(1);
  const auto load = [&](Slab<T>& slab, int64_t begin) {
    at::from_blob(slab.values, {m, slab.width}, {slab.stride, 1},
                  at::TensorOptions(c10::CppTypeToScalarType<T>::value))
        .copy_(rows.narrow(1, begin, slab.width));
    visit(slab, begin);
  };
  Slab<T> whole(m, std::min(width, n));
  for (int64_t k = first; k < last; ++k) {
    if (k * width + whole.width <= n) {
      load(whole, k * width);
    } else {
      Slab<T> rest(m, n - k * width);
      load(rest, k * width);
    }
  }
}

template <class T>
Tensor kernel_gram(const Tensor& rows) {
  const int64_t m = rows.size(0), n = rows.size(1);
  const int64_t width = kernel_width(m, kReadBytes, c10::CppTypeToScalarType<T>::value);
  return sum_over_slabs(rows, (n + width - 1) / width, {m, m}, at::kDouble,
                        [&](int64_t first, int64_t last, const Tensor& sum) {
                          double* K = sum.mutable_data_ptr<double>();
                          visit_slabs<T>(rows, width, first, last,
                                         [&](const Slab<T>& slab, int64_t) { add_gram(slab, K); });
                        });
}

template <class T>
void kernel_lower(const Tensor& L, const Tensor& rows, const Tensor& out) {
  const int64_t m = rows.size(0), n = rows.size(1);
  const int64_t width = kernel_width(m, kWriteBytes, out.scalar_type());
  const int64_t padded = Slab<T>(m, 1).padded_rows;
  const Tensor square = at::zeros({padded, padded}, out.options());
  square.narrow(0, 0, m).narrow(1, 0, m).copy_(L.tril());
  const T* factor = square.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  const int64_t stride = out.stride(0);
  ritz::parallel_for(0, (n + width - 1) / width, 1, [&](int64_t first, int64_t last) {
    const at::NoGradGuard no_graph;
    visit_slabs<T>(rows, width, first, last, [&](const Slab<T>& slab, int64_t begin) {
      multiply_lower(slab, factor, slab.width, to + begin, stride);
    });
  });
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
    ritz::parallel_for(0, slabs, 1, range);
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
  const int64_t m = rows.size(0), n = rows.size(1), slab = slab_width(m, rows);
  Tensor K;
  if (rows.is_cpu()) {
    K = compute == at::kDouble ? kernel_gram<double>(rows) : kernel_gram<float>(rows);
  } else {
    K = sum_over_slabs(rows, (n + slab - 1) / slab, {m, m}, at::kDouble,
                       [&](int64_t first, int64_t last, const Tensor& sum) {
                         for (int64_t k = first; k < last; ++k) {
                           const Tensor G =
                               slab_of(rows, k * slab, std::min(slab, n - k * slab), compute);
                           sum.add_(gemm_nt(G, G));
                         }
                       });
  }
  return K.tril() + K.tril(-1).t();
}

void multiply_lower(const Tensor& T, const Tensor& rows, const Tensor& out) {
  if (out.is_cpu() && out.stride(1) == 1) {
    return out.scalar_type() == at::kDouble ? kernel_lower<double>(T, rows, out)
                                            : kernel_lower<float>(T, rows, out);
  }
  for_each_slab(
      rows.size(1), slab_width(rows.size(0), rows), rows, [&](int64_t begin, int64_t width) {
        out.narrow(1, begin, width).copy_(gemm(T, slab_of(rows, begin, width, out.scalar_type())));
      });
}

Tensor times(const Tensor& rows, const Tensor& x) {
  if (rows.scalar_type() == x.scalar_type()) {
    return x.size(1) == 1 ? rows.mv(x.select(1, 0)).unsqueeze(1) : gemm(rows, x);
  }
  const int64_t n = rows.size(1), slab = slab_width(rows.size(0), rows);
  return sum_over_slabs(
      rows, (n + slab - 1) / slab, {rows.size(0), x.size(1)}, x.scalar_type(),
      [&](int64_t first, int64_t last, const Tensor& sum) {
        for (int64_t k = first; k < last; ++k) {
          const int64_t begin = k * slab, width = std::min(slab, n - begin);
          sum.add_(slab_of(rows, begin, width, x.scalar_type()).mm(x.narrow(0, begin, width)));
        }
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
