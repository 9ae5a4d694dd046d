#include "ritz/sequence/model/lengths.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::sequence {

void check_lengths(std::string_view name, const Tensor& lengths, int64_t n, int64_t steps) {
  if (!lengths.defined()) return;
  if (lengths.scalar_type() != at::kLong) {
    throw InvalidArgument(name, "int64", describe(lengths));
  }
  check_shape(name, lengths, {n});
  const Tensor wrong = ((lengths < 1) | (lengths > steps)).nonzero();
  if (wrong.numel() == 0) return;
  const auto i = wrong[0].item<int64_t>();
  throw InvalidArgument(name,
                        "lengths from 1 to " + std::to_string(steps) + ", the steps there are",
                        std::to_string(lengths[i].item<int64_t>()), "index " + std::to_string(i));
}

Tensor length_mask(const Tensor& lengths, int64_t steps) {
  return at::arange(steps, lengths.options()) < lengths.unsqueeze(-1);
}

Tensor reverse_within(const Tensor& x, const Tensor& lengths) {
  if (!lengths.defined()) return x.flip(1);
  const Tensor t = at::arange(x.size(1), lengths.options());
  const Tensor last = lengths.unsqueeze(-1) - 1;
  Tensor from = at::where(t <= last, last - t, t);  // [n, L]
  for (int64_t k = 2; k < x.dim(); ++k) from = from.unsqueeze(-1);
  return x.gather(1, from.expand(x.sizes()));
}

Tensor pack(const Tensor& x, const Tensor& lengths) {
  const int64_t steps = x.size(-2);
  std::vector<int64_t> shape = x.sizes().vec();
  shape[shape.size() - 2] += 1;
  Tensor packed = at::zeros(shape, x.options());
  Tensor body = packed.narrow(-2, 0, steps);
  body.copy_(x);
  if (lengths.defined()) {
    body.masked_fill_(length_mask(lengths, steps).logical_not().unsqueeze(-1), 0);
    packed.select(-2, steps).select(-1, 0).copy_(lengths);
  } else {
    packed.select(-2, steps).select(-1, 0).fill_(steps);
  }
  return packed;
}

Packed unpack(const Tensor& packed) {
  const int64_t steps = packed.size(-2) - 1;
  const Tensor lengths = packed.select(-2, steps).select(-1, 0).to(at::kLong);
  // Full lengths are the fast way: no masks, no gathers.
  const bool full = lengths.eq(steps).all().item<bool>();
  return {packed.narrow(-2, 0, steps), full ? Tensor() : lengths};
}

}  // namespace ritz::sequence
