#include "ritz/optim/gradient_window.h"

#include <torch/types.h>

#include <memory>

#include "ritz/base/check_tensor.h"
#include "ritz/base/memory.h"
#include "ritz/base/parallel.h"
#include "ritz/dist/sharded_sum.h"
#include "ritz/krylov/detail/orthogonalise.h"
#include "ritz/krylov/detail/slab_kernels.h"

namespace ritz::optim {

namespace {

using ritz::detail::Rows;
using ritz::detail::Storage;

c10::ScalarType storage_type(const std::string& name, c10::ScalarType full) {
  if (name == "full") return full;
  if (name == "bfloat16") return at::kBFloat16;
  if (name == "float16") return at::kHalf;
  throw InvalidArgument("storage", "full, bfloat16 or float16", name);
}

Storage storage_of(c10::ScalarType type) {
  return type == at::kFloat      ? Storage::float32
         : type == at::kDouble   ? Storage::float64
         : type == at::kBFloat16 ? Storage::bfloat16
                                 : Storage::float16;
}

Rows raw(const Tensor& rows) {
  return {rows.const_data_ptr(), rows.size(0), rows.stride(0), storage_of(rows.scalar_type())};
}

// Columns of a slab. Long stretches of a row are what memory gives fast (its prefetchers begin anew
// at each page): a quarter faster than slabs whose w stays in the first cache.
constexpr int64_t kSlab = 1 << 15;
// Parts of the columns; fixed, so that sums do not depend on the number of threads.
constexpr int64_t kParts = 64;

/// visit(part, first column, columns) for the slabs of each part in order, parts on all threads.
template <class Visit>
void for_slabs(int64_t n, const Visit& visit) {
  const int64_t slabs = (n + kSlab - 1) / kSlab, parts = std::min(slabs, kParts);
  ritz::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
    const auto buffer = std::make_unique<ritz::detail::SlabBuffer<kSlab>>();
    for (int64_t part = first; part < last; ++part) {
      const int64_t end = std::min(n, (part + 1) * slabs / parts * kSlab);
      for (int64_t at = part * slabs / parts * kSlab; at < end; at += kSlab) {
        visit(part, at, std::min(kSlab, end - at), buffer->w);
      }
    }
  });
}

}  // namespace

GradientWindow::GradientWindow(int64_t d, const TensorOptions& tensor,
                               const GradientWindowOptions& options)
    : d_(d), group_(options.group) {
  check_at_least("parameters", d, 1);
  check_at_least("m", options.m, 1);
  check_at_least("memory_limit", options.memory_limit, 0);
  const auto type = storage_type(options.storage, c10::typeMetaToScalarType(tensor.dtype()));
  const int ranks = group_ == nullptr ? 1 : group_->world_size();
  const auto shard = dist::shard_of(d, group_ == nullptr ? 0 : group_->rank(), ranks);
  begin_ = shard.begin;
  length_ = shard.end - shard.begin;

  const bool share = ranks > 1 && group_->ranks().one_machine;
  const int64_t bytes =
      options.m * (share ? d : length_) * static_cast<int64_t>(c10::elementSize(type));
  int64_t limit = options.memory_limit;
  if (limit == 0 && tensor.device().is_cpu()) limit = available_memory() / 5 * 4;
  if (limit > 0 && bytes > limit) {
    throw InvalidArgument(
        "m",
        "a window of at most " + std::to_string(limit) +
            " bytes; take a smaller m, storage=bfloat16 or float16, or more ranks",
        std::to_string(options.m) + " gradients of " + std::to_string(d) + " numbers, " +
            std::to_string(bytes) + " bytes");
  }
  rows_ = ritz::detail::allocate_basis(1, options.m, length_, tensor.dtype(type))[0];
  rows_.zero_();
  scales_ = at::ones({options.m}, at::kDouble);
}

bool GradientWindow::fast() const {
  return rows_.is_cpu() && rows_.stride(1) == 1;
}

void GradientWindow::replace(int64_t row, const Tensor& gradient) {
  const Tensor own = gradient.narrow(0, begin_, length_), to = rows_[row];
  if (to.scalar_type() == gradient.scalar_type()) {
    to.copy_(own);
    return;
  }
  const double largest = gradient.abs().max().item<double>();
  // A power of two changes no digit.
  const double scale =
      largest > 0 && std::isfinite(largest) ? std::exp2(std::ceil(std::log2(largest))) : 1;
  scales_[row] = scale;
  to.copy_(own / scale);
  gradient.copy_((gradient / scale).to(to.scalar_type()).to(gradient.scalar_type()) * scale);
}

Tensor GradientWindow::dots(const Tensor& x) const {
  const Tensor own = x.narrow(0, begin_, length_);
  const int64_t m = capacity();
  Tensor sum;
  if (fast()) {
    // Cost: 2 m d flops; reads the window once.
    Tensor parts = at::zeros({kParts, m}, at::kDouble);
    double* found = parts.mutable_data_ptr<double>();
    const Rows rows = raw(rows_), vector = raw(own.unsqueeze(0));
    for_slabs(length_, [&](int64_t part, int64_t at, int64_t n, double* buffer) {
      ritz::detail::load_slab(vector, at, n, buffer);
      ritz::detail::dot_slab(rows, at, n, buffer, found + part * m);
    });
    sum = parts.sum(0);
  } else if (rows_.scalar_type() == x.scalar_type()) {
    sum = rows_.mv(own).to(at::kCPU, at::kDouble);
  } else {
    sum = at::zeros({m}, x.options());
    for (int64_t i = 0; i < m; ++i) sum[i] = rows_[i].to(x.scalar_type()).dot(own);
    sum = sum.to(at::kCPU, at::kDouble);
  }
  sum.mul_(scales_);
  if (group_ != nullptr && group_->world_size() > 1) group_->all_reduce_sum(sum);
  return sum;
}

void GradientWindow::combine(const Tensor& x, double scale, const Tensor& c,
                             const Tensor& out) const {
  const Tensor from = x.narrow(0, begin_, length_), own = out.narrow(0, begin_, length_);
  const Tensor weights = (c * scales_).contiguous();
  if (fast()) {
    // Cost: 2 m d flops; reads the window once.
    const Rows rows = raw(rows_), vector = raw(from.unsqueeze(0)), result = raw(own.unsqueeze(0));
    const double* w = weights.const_data_ptr<double>();
    for_slabs(length_, [&](int64_t, int64_t at, int64_t n, double* buffer) {
      ritz::detail::load_slab(vector, at, n, buffer);
      for (int64_t k = 0; k < n; ++k) buffer[k] *= scale;
      ritz::detail::subtract_slab(rows, w, at, n, buffer);
      ritz::detail::store_slab(result, at, n, buffer);
    });
  } else {
    const Tensor on_device = weights.to(x.options());
    Tensor sum = scale * from;
    if (rows_.scalar_type() == x.scalar_type()) {
      sum = sum - rows_.t().mv(on_device);
    } else {
      for (int64_t i = 0; i < capacity(); ++i)
        sum.sub_(rows_[i].to(x.scalar_type()) * on_device[i]);
    }
    own.copy_(sum);
  }
  if (group_ != nullptr && group_->world_size() > 1) {
    out.copy_(at::cat(group_->all_gather_unequal(own.contiguous())));
  }
}

std::vector<nn::NamedTensor> GradientWindow::state() const {
  Tensor rows = rows_;
  if (group_ != nullptr && group_->world_size() > 1) {
    rows = at::cat(group_->all_gather_unequal(rows_.t().contiguous())).t().contiguous();
  }
  return {{"rows", rows}, {"scales", scales_}};
}

void GradientWindow::set_state(const Tensor& rows, const Tensor& scales) {
  rows_.copy_(rows.narrow(1, begin_, length_));
  scales_.copy_(scales);
}

}  // namespace ritz::optim
