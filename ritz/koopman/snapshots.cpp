#include "ritz/koopman/snapshots.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::koopman {
namespace {

constexpr int64_t kCheckedAtOnce = 1 << 20;  // numbers: a block stays in cache

Tensor as_states(std::string_view name, const Tensor& data) {
  check_floating(name, data, /*complex=*/true);
  if (data.dim() == 1) return data.unsqueeze(1);
  if (data.dim() != 2) throw InvalidArgument(name, "shape [M, d]", describe(data));
  return data;
}

Tensor positions(int64_t begin, int64_t end) {
  return torch::arange(begin, end, torch::kInt64);
}

/// True where something is to be left out.
Tensor marked(const Tensor& mask) {
  const Tensor m = mask.cpu();
  return m.is_floating_point() ? m.isnan() | (m != 0) : m != 0;
}

struct Masks {
  Tensor features;  // bool [d]: to be left out
  Tensor states;    // bool [S]
};

/// `shape` is the data's before its trajectories were joined to [S, d].
Masks read_mask(const Tensor& mask, at::IntArrayRef shape, int64_t S, int64_t d) {
  Masks masks{torch::zeros({d}, torch::kBool), torch::zeros({S}, torch::kBool)};
  if (!mask.defined()) return masks;
  const Tensor m = marked(mask);
  if (m.dim() == 1 && m.size(0) == d) {
    masks.features = m;
  } else if (m.numel() == S && (m.dim() == 1 || m.sizes() == shape.slice(0, shape.size() - 1))) {
    masks.states = m.reshape({S});
  } else if (m.sizes() == shape) {
    const Tensor flat = m.reshape({S, d});
    masks.features = flat.all(0);
    masks.states = (flat & ~masks.features).any(1);
  } else {
    throw InvalidArgument("mask",
                          "one entry a feature [" + std::to_string(d) + "], one a state [" +
                              std::to_string(S) + "], or the shape of the data",
                          describe(mask));
  }
  return masks;
}

/// No NaN and no Inf in the rows that are used; a block at a time, so that a mapped file stays one.
void check_states(std::string_view name, const Tensor& states, const Tensor& left_out) {
  const int64_t rows = std::max<int64_t>(1, kCheckedAtOnce / states.size(1));
  for (int64_t begin = 0; begin < states.size(0); begin += rows) {
    const int64_t count = std::min(rows, states.size(0) - begin);
    const Tensor block = states.narrow(0, begin, count);
    // NaN and Inf survive a sum, which is one pass; a sum can also overflow, so look again.
    if (block.sum().isfinite().item<bool>()) continue;
    const Tensor bad = ~block.isfinite();
    if (!bad.any().item<bool>()) continue;
    const Tensor counted = bad.cpu() & ~left_out.narrow(0, begin, count).unsqueeze(1);
    if (!counted.any().item<bool>()) continue;
    const Tensor where = counted.nonzero()[0];
    const int64_t row = where[0].item<int64_t>(), column = where[1].item<int64_t>();
    throw InvalidArgument(
        name, "finite numbers outside the mask (which marks what is left out)",
        states[begin + row][column].isnan().any().item<bool>() ? "NaN" : "Inf",
        "state " + std::to_string(begin + row) + ", feature " + std::to_string(column));
  }
}

/// Weights a pair or a state, of which `kept` pairs (of `pairs`) are left.
Tensor read_weights(const Tensor& weights, int64_t pairs, int64_t states, const Tensor& kept,
                    const Tensor& rows) {
  if (!weights.defined()) return {};
  const Tensor flat = weights.cpu().reshape({-1}).to(torch::kFloat64);
  if (weights.is_complex() || (flat.size(0) != pairs && flat.size(0) != states)) {
    throw InvalidArgument("weights",
                          "one real number a pair [" + std::to_string(pairs) + "] or a state [" +
                              std::to_string(states) + "]",
                          describe(weights));
  }
  const Tensor positive = (flat > 0) & flat.isfinite();
  if (!positive.all().item<bool>()) {
    const int64_t at = (~positive).nonzero()[0][0].item<int64_t>();
    throw InvalidArgument("weights", "positive numbers", number_text(flat[at].item<double>()),
                          "row " + std::to_string(at));
  }
  return flat.index_select(0, flat.size(0) == pairs ? kept : rows);
}

Tensor keep_features(const Tensor& states, const Tensor& features) {
  return features.size(0) == states.size(1) ? states
                                            : states.index_select(1, features.to(states.device()));
}

Tensor kept_features(const Tensor& masked) {
  const Tensor features = (~masked).nonzero().squeeze(1);
  if (features.size(0) == 0) {
    throw InvalidArgument("mask", "at least one feature left", "all masked");
  }
  return features;
}

/// Trajectories of these lengths, one after another in `states` [S, d].
Snapshots join(const Tensor& states, const std::vector<int64_t>& lengths, at::IntArrayRef shape,
               const SnapshotOptions& options) {
  check_positive("dt", options.dt);
  std::vector<Tensor> all_rows, all_ids;
  int64_t start = 0;
  for (size_t k = 0; k < lengths.size(); start += lengths[k++]) {
    if (lengths[k] < 2) continue;
    all_rows.push_back(positions(start, start + lengths[k] - 1));
    all_ids.push_back(torch::full_like(all_rows.back(), static_cast<int64_t>(k)));
  }
  if (all_rows.empty() || states.size(1) == 0) {
    throw InvalidArgument("X", "at least two snapshots of a trajectory, [T, d] or [N, T, d]",
                          describe(states));
  }
  Snapshots result;
  const Masks masks = read_mask(options.mask, shape, states.size(0), states.size(1));
  result.features = kept_features(masks.features);
  result.states = keep_features(states, result.features).contiguous();
  check_states("X", result.states, masks.states);
  result.dt = options.dt;
  const Tensor rows = torch::cat(all_rows);
  const Tensor bad = masks.states.index_select(0, rows) | masks.states.index_select(0, rows + 1);
  const Tensor kept = (~bad).nonzero().squeeze(1);
  if (kept.size(0) == 0) {
    throw InvalidArgument("mask", "two consecutive snapshots left", "none");
  }
  result.rows = rows.index_select(0, kept);
  result.trajectory = torch::cat(all_ids).index_select(0, kept);
  result.weights = read_weights(options.weights, rows.size(0), states.size(0), kept, result.rows);
  return result;
}

/// Rows of a matrix, a view where they follow each other.
Tensor take(const Tensor& matrix, const Tensor& rows, int64_t shift) {
  const int64_t n = rows.size(0);
  if (n == 0) return matrix.narrow(0, 0, 0);
  const int64_t first = rows[0].item<int64_t>(), last = rows[n - 1].item<int64_t>();
  if (last - first == n - 1) return matrix.narrow(0, first + shift, n);
  return matrix.index_select(0, (rows + shift).to(matrix.device()));
}

}  // namespace

Tensor Snapshots::x(int64_t begin, int64_t end) const {
  return take(states, rows.narrow(0, begin, end - begin), 0);
}

Tensor Snapshots::y(int64_t begin, int64_t end) const {
  if (images.defined()) return images.narrow(0, begin, end - begin);
  return take(states, rows.narrow(0, begin, end - begin), 1);
}

Tensor Snapshots::pair_weights() const {
  if (weights.defined()) return weights;
  return torch::full({pairs()}, 1 / static_cast<double>(std::max<int64_t>(pairs(), 1)),
                     torch::kFloat64);
}

Snapshots trajectories(const Tensor& data, const SnapshotOptions& options) {
  check_floating("X", data, /*complex=*/true);
  if (data.dim() < 1 || data.dim() > 3) {
    throw InvalidArgument("X", "shape [T, d] or [N, T, d]", describe(data));
  }
  if (data.dim() == 3) {
    const std::vector<int64_t> lengths(static_cast<size_t>(data.size(0)), data.size(1));
    return join(data.reshape({data.size(0) * data.size(1), data.size(2)}), lengths, data.sizes(),
                options);
  }
  const Tensor states = as_states("X", data);
  return join(states, {states.size(0)}, states.sizes(), options);
}

Snapshots trajectories(const std::vector<Tensor>& data, const SnapshotOptions& options) {
  std::vector<Tensor> all;
  std::vector<int64_t> lengths;
  for (const Tensor& one : data) {
    all.push_back(as_states("X", one));
    lengths.push_back(all.back().size(0));
    check_shape("X", all.back(), {-1, all.front().size(1)});
    check_options("X", all.back(), all.front().options());
  }
  if (all.empty()) throw InvalidArgument("X", "at least one trajectory", "none");
  const Tensor states = torch::cat(all);
  return join(states, lengths, states.sizes(), options);
}

Snapshots pairs(const Tensor& X, const Tensor& Y, const SnapshotOptions& options) {
  check_positive("dt", options.dt);
  const Tensor x = as_states("X", X), y = as_states("Y", Y);
  if (x.sizes() != y.sizes() || x.scalar_type() != y.scalar_type()) {
    throw InvalidArgument("Y", "the shape and dtype of X, " + describe(X), describe(Y));
  }
  if (x.size(0) < 1 || x.size(1) < 1) {
    throw InvalidArgument("X", "at least one pair (two snapshots)", describe(X));
  }
  const Masks masks = read_mask(options.mask, x.sizes(), x.size(0), x.size(1));
  Snapshots result;
  result.features = kept_features(masks.features);
  result.states = keep_features(x, result.features).contiguous();
  result.images = keep_features(y, result.features).contiguous();
  check_states("X", result.states, masks.states);
  check_states("Y", result.images, masks.states);
  const Tensor kept = (~masks.states).nonzero().squeeze(1);
  if (kept.size(0) == 0) throw InvalidArgument("mask", "at least one pair left", "none");
  result.dt = options.dt;
  result.rows = kept;
  result.trajectory = torch::zeros_like(kept);
  result.weights = read_weights(options.weights, x.size(0), x.size(0), kept, kept);
  if (kept.size(0) < x.size(0)) {
    result.images = result.images.index_select(0, kept.to(y.device()));
  }
  return result;
}

Snapshots select(const Snapshots& snapshots, const Tensor& index) {
  Snapshots result = snapshots;
  result.rows = snapshots.rows.index_select(0, index);
  result.trajectory = snapshots.trajectory.index_select(0, index);
  if (snapshots.weights.defined()) result.weights = snapshots.weights.index_select(0, index);
  if (snapshots.images.defined()) result.images = take(snapshots.images, index, 0);
  return result;
}

Split split(const Snapshots& snapshots, double fraction) {
  check_in("holdout", fraction, 0, 1);
  const int64_t M = snapshots.pairs();
  if (fraction == 0) return {snapshots, select(snapshots, positions(0, 0))};
  const auto share = [&](int64_t n) {  // rounding up, but not because of 0.1 * 30 > 3
    return static_cast<int64_t>(std::ceil(fraction * static_cast<double>(n) * (1 - 1e-12)));
  };
  const Tensor breaks =
      (snapshots.trajectory.slice(0, 1) != snapshots.trajectory.slice(0, 0, M - 1)).nonzero();
  const int64_t count = breaks.size(0) + 1;  // of trajectories
  int64_t begin = M - share(M);
  if (count > 1) {
    const int64_t first = count - std::max<int64_t>(1, share(count));  // the first held out
    begin = first <= 0 ? 0 : breaks[first - 1][0].item<int64_t>() + 1;
  }
  if (begin < 1 || begin >= M) {
    throw InvalidArgument("holdout", "a fraction that leaves pairs to both parts",
                          number_text(fraction) + " of " + std::to_string(M) + " pairs in " +
                              std::to_string(count) +
                              (count > 1 ? " trajectories" : " trajectory"));
  }
  return {select(snapshots, positions(0, begin)), select(snapshots, positions(begin, M))};
}

Snapshots delay_embed(const Snapshots& snapshots, int64_t delays, int64_t spacing) {
  check_at_least("delays", delays, 1);
  check_at_least("spacing", spacing, 1);
  if (delays == 1) return snapshots;
  if (!snapshots.consecutive()) {
    throw Unsupported("delays need trajectories [T, d] or [N, T, d]; pairs X, Y have no past");
  }
  // left[m]: how many pairs follow pair m without a gap, itself among them.
  const int64_t M = snapshots.pairs(), reach = (delays - 1) * spacing;
  const auto row = snapshots.rows.accessor<int64_t, 1>();
  const auto id = snapshots.trajectory.accessor<int64_t, 1>();
  std::vector<int64_t> kept;
  int64_t left = 0, longest = 0;
  for (int64_t m = M - 1; m >= 0; --m) {
    const bool joined = m + 1 < M && row[m + 1] == row[m] + 1 && id[m + 1] == id[m];
    left = joined ? left + 1 : 1;
    longest = std::max(longest, left);
    if (left > reach) kept.push_back(m);
  }
  if (kept.empty()) {
    throw InvalidArgument(
        "delays",
        "at most " + std::to_string((longest - 1) / spacing + 1) +
            ": a trajectory (or the part held out of it) has " + std::to_string(longest + 1) +
            " snapshots in a row",
        std::to_string(delays) + (spacing > 1 ? ", " + std::to_string(spacing) + " apart" : ""));
  }
  std::reverse(kept.begin(), kept.end());
  Snapshots result = select(snapshots, torch::tensor(kept, torch::kInt64));
  const Tensor states = snapshots.states.contiguous();
  const int64_t S = states.size(0), d = states.size(1);
  // Window t is states t, t + spacing, ...: consecutive rows of a contiguous matrix already.
  result.states =
      states.as_strided({S - reach, delays, d}, {d, spacing * d, 1}, states.storage_offset())
          .reshape({S - reach, delays * d});
  result.features = snapshots.features.repeat({delays});
  return result;
}

}  // namespace ritz::koopman
