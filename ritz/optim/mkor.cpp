#include "ritz/optim/mkor.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "ritz/base/check_tensor.h"

namespace ritz::optim {

namespace {

constexpr double kLargestHalf = 65504;
constexpr int64_t kRowsOfError = 64;  // of a batch, evenly spaced: enough for a diagnostic
enum Counter { kRenewals, kResets, kStabilised, kSkipped };

KroneckerOptions kronecker_options(const MkorOptions& options) {
  return {options.f, options.warmup, options.rescale, options.kl_clip, options.exclude};
}

/// [r, d]: rows whose outer products add up to the best rank-r approximation of S^T S / n for the
/// rows S [n, d]. O(n d min(n, d) + min(n, d)^3).
Tensor top_vectors(const Tensor& S, int64_t rank) {
  const double n = static_cast<double>(S.size(0));
  const int64_t k = std::min({rank, S.size(0), S.size(1)});
  Tensor vectors = at::zeros({rank, S.size(1)}, S.options());
  if (!S.isfinite().all().item<bool>()) return vectors.fill_(NAN);
  if (S.size(0) <= S.size(1)) {
    const auto [values, columns] = at::linalg_eigh(S.mm(S.t()) / n);
    vectors.narrow(0, 0, k).copy_(columns.narrow(1, S.size(0) - k, k).t().flip(0).mm(S) /
                                  std::sqrt(n));
  } else {
    const auto [values, columns] = at::linalg_eigh(S.t().mm(S) / n);
    const Tensor roots = values.narrow(0, S.size(1) - k, k).clamp_min(0).sqrt();
    vectors.narrow(0, 0, k).copy_((columns.narrow(1, S.size(1) - k, k) * roots).t().flip(0));
  }
  return vectors;
}

/// |C - V^T V|_F / |C|_F for C = S^T S / n over some rows S [n, d] of a batch and the vectors V
/// that stand for them, through products of order n: |C|^2 - 2 sum v^T C v + |V V^T|^2. NaN where C
/// = 0.
double low_rank_error(const Tensor& rows, int64_t rank) {
  const int64_t stride = std::max<int64_t>(1, rows.size(0) / kRowsOfError);
  const Tensor S = rows.slice(0, 0, stride * kRowsOfError, stride).to(at::kDouble);
  const Tensor V = rank == 1 ? S.mean(0, true) : top_vectors(S, rank);
  const double n = static_cast<double>(S.size(0));
  const Tensor parts = at::stack({S.mm(S.t()).square().sum() / (n * n),
                                  S.mm(V.t()).square().sum() / n, V.mm(V.t()).square().sum()})
                           .cpu();
  const double* p = parts.const_data_ptr<double>();
  return std::sqrt(std::max(0.0, p[0] - 2 * p[1] + p[2]) / p[0]);
}

}  // namespace

Mkor::Mkor(const nn::Network& network, std::unique_ptr<Optimizer> backend, MkorOptions options,
           dist::ProcessGroup* group)
    : Mkor("mkor", network, std::move(backend), std::move(options), group) {}

Mkor::Mkor(std::string name, const nn::Network& network, std::unique_ptr<Optimizer> backend,
           MkorOptions options, dist::ProcessGroup* group)
    : KroneckerOptimizer({.name = std::move(name)}, network, std::move(backend),
                         kronecker_options(options), group),
      options_(std::move(options)) {
  check_renewal_options(options_.renewal);
  check_positive("clip", options_.clip);
  check_at_least("rank", options_.rank, 1);
  check_at_least("verify", options_.verify, 0);
  const auto own = layers()[0].weight().scalar_type();
  stored_ = wire_ = own;
  if (options_.half != HalfPrecision::none) {
    wire_ = at::kHalf;
    if (options_.renewal.form != MkorForm::paper) {
      stored_ = options_.half == HalfPrecision::float16 ? at::kHalf : at::kBFloat16;
    }
  }
  const auto count = static_cast<int64_t>(layers().size());
  counters_ = at::zeros({count, 4}, at::kLong);
  rank1_error_ = at::full({count, 2}, NAN, at::kDouble);
  factors_ = identities();
}

Mkor::Factors Mkor::identities() const {
  Factors made;
  for (const auto& layer : layers()) {
    const auto options = layer.weight().options().requires_grad(false).dtype(stored_);
    made.P.push_back(at::eye(layer.outputs(), options));
    made.Q.push_back(at::eye(layer.inputs(), options));
  }
  return made;
}

Mkor::Factors Mkor::no_factors() const {
  const std::vector<Tensor> none(layers().size());
  return {none, none};
}

// One all-reduce for all layers' vectors, averaged. A rank without samples of a layer, or with an
// overflowed loss, sends NaN, and so all ranks leave that layer out.
std::vector<Tensor> Mkor::reduced(const std::vector<Tensor>& vectors) {
  std::vector<Tensor> flat;
  const int ranks = group() == nullptr ? 1 : group()->world_size();
  // The sum over ranks must stay within float16.
  const double clip =
      wire_ == at::kHalf ? std::min(options_.clip, kLargestHalf / ranks) : options_.clip;
  for (const Tensor& v : vectors) {
    // Clipping alone would make a number of Inf.
    flat.push_back((v.clamp(-clip, clip) + 0 * v).flatten().to(wire_));
  }
  Tensor all = at::cat(flat);
  const auto arithmetic = vectors[0].scalar_type();
  if (options_.rank == 1 || !several_ranks()) {
    if (group() != nullptr) timed(times().reduce, [&] { group()->all_reduce_sum(all); });
    all = all.to(arithmetic).div_(ranks);
  } else {
    // Top vectors have no average: each rank's stand for its samples, [P, words].
    timed(times().reduce, [&] { all = group()->all_gather(all); });
    all = all.to(arithmetic);
  }
  std::vector<Tensor> found;
  int64_t used = 0;
  for (const Tensor& v : vectors) {
    const Tensor part = all.narrow(-1, used, v.numel());
    used += v.numel();
    if (all.dim() == 1) {
      found.push_back(part.view(v.sizes()));
    } else {
      const Tensor rows = part.reshape({ranks * options_.rank, v.size(1)});
      // S^T S / n of these is the ranks' mean where n counts ranks.
      found.push_back(
          top_vectors(rows * std::sqrt(static_cast<double>(options_.rank)), options_.rank));
    }
  }
  return found;
}

void Mkor::count_reset(size_t k, const char* which) {
  counters_[static_cast<int64_t>(k)][kResets] += 1;
  if (warned_of_reset_) return;
  warned_of_reset_ = true;
  warn("factor_reset", "mkor: the factor of " + layers()[k].name() + "'s " + which +
                           " left the range of " + dtype_name(stored_) + " in step " +
                           std::to_string(steps_done() + 1) +
                           " and starts at I again; further ones are only counted");
}

void Mkor::renew(const std::vector<std::optional<LayerSamples>>& samples) {
  std::vector<Tensor> vectors;  // a, g of each layer, [r, i'] and [r, o]
  for (size_t k = 0; k < layers().size(); ++k) {
    const auto options = layers()[k].weight().options().requires_grad(false);
    const auto vectors_of = [&](int64_t d, const Tensor* rows) {
      if (rows == nullptr) return at::full({options_.rank, d}, NAN, options);
      return options_.rank == 1 ? rows->mean(0, true) : top_vectors(*rows, options_.rank);
    };
    const auto& own = samples[k];
    vectors.push_back(vectors_of(layers()[k].inputs(), own ? &own->inputs : nullptr));
    vectors.push_back(vectors_of(layers()[k].outputs(), own ? &own->output_gradients : nullptr));
  }
  vectors = reduced(vectors);

  std::vector<Tensor> finite;
  for (const Tensor& v : vectors) finite.push_back(v.isfinite().all());
  const Tensor usable = at::stack(finite).cpu();
  const bool* use = usable.const_data_ptr<bool>();
  for (size_t k = 0; k < layers().size(); ++k) {
    const auto row = static_cast<int64_t>(k);
    if (!use[2 * k] || !use[2 * k + 1]) {
      if (samples[k]) counters_[row][kSkipped] += 1;
      continue;
    }
    const auto right = renew_factor(factors_.Q[k], vectors[2 * k], options_.renewal);
    const auto left = renew_factor(factors_.P[k], vectors[2 * k + 1], options_.renewal);
    counters_[row][kRenewals] += 1;
    counters_[row][kStabilised] += int{right.stabilised} + int{left.stabilised};
    if (right.reset) count_reset(k, "inputs");
    if (left.reset) count_reset(k, "output gradients");
    if (samples[k]) {
      rank1_error_[row][0] = low_rank_error(samples[k]->inputs, options_.rank);
      rank1_error_[row][1] = low_rank_error(samples[k]->output_gradients, options_.rank);
    }
  }
  const int64_t renewals = counters_.select(1, kRenewals).max().item<int64_t>();
  if (several_ranks() && options_.verify > 0 && renewals % options_.verify == 0) compare_ranks();
}

void Mkor::compare_ranks() {
  Tensor hash = at::zeros({1}, at::kLong);
  for (const auto& factors : {factors_.P, factors_.Q}) {
    for (const Tensor& M : factors) {
      const auto bits = M.element_size() == 2   ? at::kShort
                        : M.element_size() == 4 ? at::kInt
                                                : at::kLong;
      hash = hash * 1000003 + M.view(bits).sum(at::kLong).cpu();
    }
  }
  Tensor all;
  timed(times().reduce, [&] { all = group()->all_gather(hash); });
  if (!all.eq(hash).all().item<bool>()) {
    throw SystemFailure("mkor: expected the same factors on all ranks, found others after step " +
                        std::to_string(steps_done()) +
                        " (are all ranks the same build on the same kind of processor?)");
  }
}

std::vector<Tensor> Mkor::precondition(const std::vector<Tensor>& gradients) {
  std::vector<Tensor> hats;
  for (size_t k = 0; k < gradients.size(); ++k) {
    // Factors that are still I leave the gradient bit for bit.
    const bool identity =
        counters_.const_data_ptr<int64_t>()[4 * k + kRenewals] == 0 || !gradients[k].defined();
    hats.push_back(identity ? Tensor() : sandwich(k, factors_.P[k], gradients[k], factors_.Q[k]));
  }
  return hats;
}

std::vector<NamedTensor> Mkor::factors() {
  std::vector<NamedTensor> state{{"counters", counters_}, {"rank1_error", rank1_error_}};
  for (size_t k = 0; k < layers().size() && factors_.P[k].defined(); ++k) {
    state.push_back({"output_factor." + layers()[k].name(), factors_.P[k]});
    state.push_back({"input_factor." + layers()[k].name(), factors_.Q[k]});
  }
  return state;
}

Statistics Mkor::method_statistics() const {
  const Tensor sums = counters_.sum(0);
  const auto* counts = sums.const_data_ptr<int64_t>();
  return {{"renewals", static_cast<double>(counters_.select(1, kRenewals).max().item<int64_t>())},
          {"resets", static_cast<double>(counts[kResets])},
          {"stabilised", static_cast<double>(counts[kStabilised])},
          {"skipped", static_cast<double>(counts[kSkipped])},
          {"rank1_error", rank1_error_.nanmean().item<double>()},
          {"switched", retired() ? 1.0 : 0.0}};
}

void Mkor::complete_report(std::vector<LayerReport>& reports) const {
  for (size_t k = 0; k < reports.size(); ++k) {
    const auto* counts = counters_.const_data_ptr<int64_t>() + 4 * k;
    const auto* errors = rank1_error_.const_data_ptr<double>() + 2 * k;
    reports[k].resets = counts[kResets];
    reports[k].skipped = counts[kSkipped];
    reports[k].input_rank1_error = errors[0];
    reports[k].gradient_rank1_error = errors[1];
  }
}

// ---- MKOR-H ----

MkorHybrid::MkorHybrid(const nn::Network& network, std::unique_ptr<Optimizer> backend,
                       MkorOptions options, HybridOptions hybrid, dist::ProcessGroup* group)
    : Mkor("mkor-h", network, std::move(backend), std::move(options), group),
      hybrid_(hybrid),
      detector_(hybrid.knee),
      switched_at_(at::zeros({}, at::kLong)),
      detector_state_(at::zeros({4 + hybrid.knee.window}, at::kDouble)) {
  if (hybrid_.rule == HybridOptions::Switch::at_step) {
    check_at_least("step", hybrid_.step, 1);
    if (hybrid_.step == 1) switch_over();
  }
}

int64_t MkorHybrid::switched_at() const {
  return switched_at_.item<int64_t>();
}

bool MkorHybrid::wants_loss() const {
  return hybrid_.rule == HybridOptions::Switch::automatic && !retired();
}

void MkorHybrid::switch_over() {
  switched_at_.fill_(steps_done() + 1);
  retire();
  factors_ = no_factors();
}

void MkorHybrid::observe_loss(double loss) {
  if (!wants_loss()) return;
  const int64_t t = steps_done() + 1;
  bool knee = detector_.observe(loss);
  const bool all_look = t >= hybrid_.knee.min_steps && t % hybrid_.knee.check == 0;
  if (all_look && several_ranks()) {
    const Tensor votes = at::full({1}, knee ? 1.0 : 0.0, at::kDouble);
    group()->all_reduce_sum(votes);
    knee = votes.item<double>() > 0;
  }
  if (knee) switch_over();
}

Tensor MkorHybrid::step(LossClosure closure) {
  const Tensor loss = Mkor::step(std::move(closure));
  if (hybrid_.rule == HybridOptions::Switch::at_step && !retired() &&
      steps_done() + 1 >= hybrid_.step) {
    switch_over();
  }
  return loss;
}

std::vector<NamedTensor> MkorHybrid::factors() {
  const auto numbers = detector_.state();
  detector_state_.zero_();
  auto* to = detector_state_.data_ptr<double>();
  to[0] = static_cast<double>(numbers.size());
  std::copy(numbers.begin(), numbers.end(), to + 1);
  auto state = Mkor::factors();
  state.insert(state.begin(), {{"switched_at", switched_at_}, {"detector", detector_state_}});
  return state;
}

void MkorHybrid::load_state_dict(const std::vector<NamedTensor>& state) {
  bool switched = false;
  for (const auto& [name, value] : state) {
    if (name == "switched_at" && value.numel() == 1) switched = value.item<int64_t>() > 0;
  }
  // The state decides which tensors there are; if it does not fit, they stay as they were.
  const Factors kept = factors_;
  if (switched != retired()) factors_ = switched ? no_factors() : identities();
  try {
    Mkor::load_state_dict(state);
  } catch (...) {
    factors_ = kept;
    throw;
  }
  switched ? retire() : revive();
  const auto* from = detector_state_.const_data_ptr<double>();
  const auto count = static_cast<size_t>(
      std::clamp(from[0], 0.0, static_cast<double>(detector_state_.numel() - 1)));
  detector_.set_state({from + 1, from + 1 + count});
}

}  // namespace ritz::optim
