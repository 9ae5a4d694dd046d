#include "ritz/koopman/learned/trajectories.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/dist/process_group.h"

namespace ritz::koopman::learned {
namespace {

std::vector<int64_t> range(int64_t from, int64_t to) {
  std::vector<int64_t> all;
  for (int64_t i = from; i < to; ++i) all.push_back(i);
  return all;
}

/// The first index of `values` [N, L, ...] that is not finite in a frame of `mask`.
void check_values(const char* name, const Tensor& values, const Tensor& mask) {
  if (!mask.defined()) return check_finite(name, values);
  const Tensor there = mask.narrow(1, 0, values.size(1));
  std::vector<int64_t> shape{there.size(0), there.size(1)};
  shape.resize(static_cast<size_t>(values.dim()), 1);
  check_finite(name, at::where(there.view(shape), values, at::zeros({}, values.options())));
}

}  // namespace

Trajectories Trajectories::part(int64_t from, int64_t n) const {
  const auto of = [&](const Tensor& t) { return t.defined() ? t.narrow(0, from, n) : t; };
  return {of(frames), of(actions), of(mask)};
}

Trajectories Trajectories::span(int64_t from, int64_t n) const {
  const auto of = [&](const Tensor& t) {
    return t.defined() ? t.narrow(1, from, std::min(n, t.size(1) - from)) : t;
  };
  return {of(frames), of(actions), of(mask)};
}

void check_trajectories(const Trajectories& data) {
  check_floating("frames", data.frames);
  if (data.frames.dim() < 3) {
    throw InvalidArgument("frames", "[trajectories, frames, numbers...]", describe(data.frames));
  }
  check_at_least("trajectories", data.count(), 1);
  check_at_least("frames of a trajectory", data.length(), 2);
  if (data.mask.defined()) check_shape("mask", data.mask, {data.count(), data.length()});
  if (data.actions.defined()) {
    const Tensor& a = data.actions;
    if (a.dim() < 3 || a.size(0) != data.count() ||
        (a.size(1) != data.length() && a.size(1) != data.length() - 1)) {
      throw InvalidArgument("actions",
                            "[" + std::to_string(data.count()) + ", " +
                                std::to_string(data.length() - 1) + " or " +
                                std::to_string(data.length()) + ", m]",
                            describe(a));
    }
    check_values("actions", a, data.mask);
  }
  check_values("frames", data.frames, data.mask);
}

Tensor windows(const Trajectories& data, int64_t steps) {
  check_at_least("window", steps, 1);
  const int64_t N = data.count(), L = data.length();
  if (steps + 1 > L) {
    throw InvalidArgument("window",
                          "at most " + std::to_string(L - 1) + " steps for trajectories of " +
                              std::to_string(L) + " frames",
                          std::to_string(steps));
  }
  const int64_t S = L - steps;  // starts in a trajectory
  Tensor starts = at::stack(
      {at::arange(N, at::kLong).repeat_interleave(S), at::arange(S, at::kLong).repeat({N})}, 1);
  if (!data.mask.defined()) return starts;
  const Tensor whole = data.mask.cpu().to(at::kBool).unfold(1, steps + 1, 1).all(-1);  // [N, S]
  return starts.index_select(0, whole.flatten().nonzero().squeeze(1));
}

Tensor gather_frames(const Tensor& values, const Tensor& starts, int64_t frames, int64_t offset) {
  const int64_t L = values.size(1);
  const Tensor rows = starts.select(1, 0).unsqueeze(1) * L + starts.select(1, 1).unsqueeze(1) +
                      at::arange(offset, offset + frames, starts.options());  // [B, frames]
  std::vector<int64_t> shape{starts.size(0), frames};
  for (int64_t i = 2; i < values.dim(); ++i) shape.push_back(values.size(i));
  return values.flatten(0, 1).index_select(0, rows.flatten().to(values.device())).view(shape);
}

Scaling parse_scaling(std::string_view name) {
  if (name == "channel") return Scaling::channel;
  if (name == "pixel") return Scaling::pixel;
  if (name == "none") return Scaling::none;
  throw InvalidArgument("scaling", "channel, pixel or none", name);
}

Scale scale_of(const Trajectories& data, int64_t sample_dimensions, Scaling scaling,
               dist::ProcessGroup* group) {
  const Tensor& x = data.frames;
  const TensorOptions options = x.options();
  if (scaling == Scaling::none) return {at::zeros({}, options), at::ones({}, options)};
  const int64_t first = x.dim() - sample_dimensions;  // the first of a frame's own dimensions
  const bool field = sample_dimensions == 3;
  // Sums over trajectories, frames, objects and, for fields, pixels; in float64.
  auto over = range(0, first);
  if (field && scaling == Scaling::channel) {
    over.push_back(first + 1);
    over.push_back(first + 2);
  }
  Tensor weight = at::ones({}, at::TensorOptions(at::kDouble).device(x.device()));
  Tensor values = x.to(at::kDouble);
  if (data.mask.defined()) {
    std::vector<int64_t> shape{x.size(0), x.size(1)};
    shape.resize(static_cast<size_t>(x.dim()), 1);
    weight = data.mask.to(x.device(), at::kDouble).view(shape);
    values = at::where(weight > 0, values, at::zeros({}, values.options()));
  }
  const Tensor count = (at::ones_like(values) * weight).sum(over, /*keepdim=*/true);
  // About a shift near the mean, or the squares would lose what the mean's square holds. The shift
  // must be the same on all ranks.
  Tensor shift = values.sum(over, true) / count.clamp_min(1);
  if (group != nullptr) group->broadcast(shift);
  const Tensor moved = (values - shift) * weight;
  Tensor sums = at::stack({count, moved.sum(over, true), moved.square().sum(over, true)});
  if (group != nullptr) group->all_reduce_sum(sums);
  const Tensor offset = sums[1] / sums[0];
  Tensor variance = sums[2] / sums[0] - offset.square();
  if (scaling == Scaling::pixel) variance = variance.mean().expand_as(variance);
  const auto frame = [&](const Tensor& t) {
    std::vector<int64_t> shape(t.sizes().begin() + first, t.sizes().end());
    return t.reshape(shape).contiguous();
  };
  const Tensor mean = frame(shift + offset), spread = frame(variance.clamp_min(0).sqrt());
  // A constant channel leaves rounding of its mean behind.
  const Tensor flat = (spread <= 1e-7 * (1e-300 + mean.abs())).flatten().nonzero();
  if (flat.size(0) > 0) {
    throw InvalidArgument("channel " + std::to_string(flat[0][0].item<int64_t>()),
                          "values that vary", "variance 0");
  }
  return {mean.to(x.scalar_type()), spread.to(x.scalar_type())};
}

}  // namespace ritz::koopman::learned
