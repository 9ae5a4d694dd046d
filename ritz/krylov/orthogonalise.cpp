#include "ritz/krylov/detail/orthogonalise.h"

#include <torch/types.h>

#include "ritz/base/parallel.h"
#include "ritz/krylov/detail/slab_kernels.h"

namespace ritz::detail {
namespace {

constexpr int64_t kMaxChunks =
    64;  // parts of the columns; fixed, so that sums do not depend on threads
constexpr int64_t kSlabBytes = int64_t{384}
                               << 10;  // of the basis in flight: within a core's own cache

bool fast(const Tensor& rows, bool any_storage) {
  if (!rows.defined() || rows.size(0) == 0) return true;
  const auto type = rows.scalar_type();
  const bool storage = type == torch::kBFloat16 || type == torch::kHalf;
  return rows.is_cpu() && rows.stride(1) == 1 &&
         (type == torch::kFloat || type == torch::kDouble || (any_storage && storage));
}

Rows rows_of(const Tensor& rows) {
  if (!rows.defined() || rows.size(0) == 0) return {};
  Rows out{rows.const_data_ptr(), rows.size(0), rows.stride(0), Storage::float64};
  switch (rows.scalar_type()) {
    case torch::kFloat:
      out.storage = Storage::float32;
      break;
    case torch::kBFloat16:
      out.storage = Storage::bfloat16;
      break;
    case torch::kHalf:
      out.storage = Storage::float16;
      break;
    default:
      break;
  }
  return out;
}

int64_t count(const Tensor& rows) {
  return rows.defined() ? rows.size(0) : 0;
}

Tensor coefficients_reference(const Tensor& rows, const Tensor& w, const Tensor& wide) {
  // Both in double: what the fast kernel's accumulation amounts to.
  const auto q = rows.to(wide.scalar_type());
  return q.conj().mv(w.to(wide.scalar_type()));
}

}  // namespace

Tensor allocate_basis(int64_t count, int64_t rows, int64_t n, const TensorOptions& options) {
  const int64_t size = static_cast<int64_t>(options.dtype().itemsize());
  int64_t stride = n;
  if (n * size > (int64_t{256} << 10)) {
    // Rows whose distance is a multiple of a cache way's size (64 KiB and its halves) would evict
    // each other: 100 slabs of 4 KiB then fight for the same few sets.
    constexpr int64_t kPeriod = 16384, kOffset = 4160;
    const int64_t bytes = (n * size + kPeriod - kOffset - 1) / kPeriod * kPeriod + kOffset;
    stride = bytes / size;
  }
  return torch::empty({count, rows, stride}, options).narrow(2, 0, n);
}

Orthogonalised orthogonalise(const Tensor& basis, const Tensor& recent, const Tensor& w,
                             int passes) {
  if (!fast(basis, true) || !fast(recent, false) || !fast(w.unsqueeze(0), false)) {
    return orthogonalise_reference(basis, recent, w, passes);
  }
  const int64_t n = w.size(0), j = count(basis), total = j + count(recent);
  const Rows both[2] = {rows_of(basis), rows_of(recent)};
  const Rows vector = rows_of(w.unsqueeze(0));

  // Cost: with passes = 2 each element of Q is read three times from memory instead of four: the
  // subtraction of one pass and the products of the next share a slab that is in cache. 8 j P
  // flops.
  const int64_t row_bytes =
      std::max<int64_t>(1, j * (j ? basis.element_size() : 0) + (total - j) * w.element_size());
  const int64_t slab = std::clamp<int64_t>(kSlabBytes / row_bytes / 64 * 64, 256, kMaxSlab);
  const int64_t slabs = (n + slab - 1) / slab;
  const int64_t chunks = std::clamp<int64_t>(slabs, 1, kMaxChunks);
  const auto chunk_begin = [&](int64_t c) { return std::min(n, c * slabs / chunks * slab); };

  // Waking a second thread costs more than 64k multiplications.
  const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 16) * chunks / (n * (total + 1)));

  auto result = torch::zeros({total}, torch::kFloat64);
  double* sum = result.mutable_data_ptr<double>();
  std::vector<double> previous(static_cast<size_t>(total));  // of the last pass
  std::vector<double> partial(static_cast<size_t>(chunks * (total + 1)));
  double norm2 = 0;
  // Sweep s subtracts what sweep s - 1 found and finds the next coefficients; the last only
  // subtracts.
  for (int sweep = 0; sweep <= passes; ++sweep) {
    std::fill(partial.begin(), partial.end(), 0.0);
    parallel_for(0, chunks, grain, [&](int64_t first, int64_t last) {
      SlabBuffer<> slab_buffer;
      double* const buffer = slab_buffer.w;
      for (int64_t c = first; c < last; ++c) {
        double* found = partial.data() + c * (total + 1);
        for (int64_t at = chunk_begin(c); at < chunk_begin(c + 1); at += slab) {
          const int64_t length = std::min(slab, n - at);
          load_slab(vector, at, length, buffer);
          if (sweep > 0) {
            subtract_slab(both[0], previous.data(), at, length, buffer);
            subtract_slab(both[1], previous.data() + j, at, length, buffer);
            store_slab(vector, at, length, buffer);
          }
          if (sweep < passes) {
            dot_slab(both[0], at, length, buffer, found);
            dot_slab(both[1], at, length, buffer, found + j);
          } else {
            found[total] += norm_slab(length, buffer);
          }
        }
      }
    });
    std::fill(previous.begin(), previous.end(), 0.0);
    for (int64_t c = 0; c < chunks; ++c) {
      const double* found = partial.data() + c * (total + 1);
      for (int64_t i = 0; i < total; ++i) previous[static_cast<size_t>(i)] += found[i];
      norm2 += found[total];
    }
    for (int64_t i = 0; i < total; ++i) sum[i] += previous[static_cast<size_t>(i)];
  }
  return {result, torch::scalar_tensor(std::sqrt(norm2), torch::kFloat64)};
}

Orthogonalised orthogonalise_reference(const Tensor& basis, const Tensor& recent, const Tensor& w,
                                       int passes) {
  const bool complex = w.is_complex();
  const auto wide =
      torch::empty({0}, w.options().dtype(complex ? torch::kComplexDouble : torch::kDouble));
  std::vector<Tensor> parts;
  for (const auto& rows : {basis, recent}) {
    if (count(rows)) parts.push_back(rows);
  }
  Tensor sum;
  for (int pass = 0; pass < passes && !parts.empty(); ++pass) {
    std::vector<Tensor> found;
    for (const auto& rows : parts) found.push_back(coefficients_reference(rows, w, wide));
    auto left = w.to(wide.scalar_type());
    for (size_t i = 0; i < parts.size(); ++i) {
      left = left - parts[i].to(wide.scalar_type()).t().mv(found[i]);
    }
    w.copy_(left);
    const auto all = torch::cat(found);
    sum = sum.defined() ? sum + all : all;
  }
  if (!sum.defined()) sum = torch::zeros({0}, wide.options());
  const auto norm = at::linalg_vector_norm(w, 2, c10::nullopt, false,
                                           complex ? torch::kComplexDouble : torch::kDouble);
  return {sum, norm};
}

}  // namespace ritz::detail
