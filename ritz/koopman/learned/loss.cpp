#include "ritz/koopman/learned/loss.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/dist/process_group.h"
#include "ritz/koopman/learned/coherence.h"
#include "ritz/koopman/learned/entropy.h"

namespace ritz::koopman::learned {
namespace {

void check(const Model& model, const Batch& batch, const LossOptions& o) {
  for (const auto& [name, weight] :
       {std::pair("reconstruction", o.reconstruction), std::pair("prediction", o.prediction),
        std::pair("alpha", o.alpha), std::pair("beta", o.beta), std::pair("gamma", o.gamma),
        std::pair("prior", o.prior), std::pair("unitarity", o.unitarity)}) {
    check_non_negative(name, weight);
  }
  check_positive("variance", o.variance);
  if (o.reconstruction == 0 && o.prediction == 0) {
    throw InvalidArgument("weights", "reconstruction or prediction > 0", "0 for both");
  }
  check_options("frames", batch.frames, model.tensor_options());
  check_at_least("frames", batch.frames.size(1), 2);
  check_at_least("k", o.k, 1);
  if (o.horizon < 1 || o.horizon >= batch.frames.size(1)) {
    throw InvalidArgument("horizon",
                          "1 to the window's " + std::to_string(batch.frames.size(1) - 1),
                          std::to_string(o.horizon));
  }
}

/// All ranks' latents in order; the gradient of this rank's is multiplied by the number of ranks,
/// so that averaging over ranks gives that of the common value.
Tensor with_all_ranks(const Tensor& latents, dist::ProcessGroup& group) {
  const int64_t P = group.world_size();
  const Tensor mine =
      static_cast<double>(P) * latents - static_cast<double>(P - 1) * latents.detach();
  Tensor all = group.all_gather(latents.detach()).flatten(0, 1);
  const int64_t B = latents.size(0), at = group.rank() * B;
  return at::cat({all.narrow(0, 0, at), mine, all.narrow(0, at + B, (P - 1) * B - at)});
}

/// Mean squared difference over a frame's numbers, frames and windows.
Tensor error(const Tensor& a, const Tensor& b) {
  return at::mse_loss(a, b);
}

/// Sequences of one object each: [B, T, n, d] -> [B n, T, d].
Tensor sequences(const Tensor& z, bool graph) {
  return graph ? z.transpose(1, 2).reshape({-1, z.size(1), z.size(3)}) : z;
}

class Objective {
 public:
  Objective(Model& model, const Batch& batch, const LossOptions& options, dist::ProcessGroup* group)
      : model_(model), batch_(batch), o_(options), group_(group), T_(batch.frames.size(1) - 1) {}

  Terms compute() {
    const Latents latents = model_.encode(batch_.frames);
    z_ = latents.mean;
    if (model_.options().variational) {
      z_ = z_ + latents.log_deviation.exp() * model_.noise().normal(z_.sizes(), z_.options());
    }
    map_ = linear_map();
    const std::vector<Tensor> predicted = predict();
    decode(predicted);
    if (model_.options().variational) {
      divergences(latents, predicted[0]);
    } else {
      add("latent", o_.beta, error(predicted[0], z_.narrow(1, 1, T_)), true);
    }
    if (o_.alpha > 0) add("coherence", -o_.alpha, coherence());
    // Its share of the step is measured by info_koopman_bench.
    if (o_.gamma > 0) add("entropy", -o_.gamma, entropy(rows(z_), {.group = group_}));
    if (model_.options().transition == Transition::pfnn) {
      const Tensor defect = map_.K.t().mm(map_.K) - at::eye(map_.K.size(0), map_.K.options());
      add("unitarity", o_.unitarity, defect.square().sum() / static_cast<double>(defect.size(0)));
    }
    Terms terms{total_, {}};
    for (const auto& name : part_names()) {
      const auto found = std::find_if(parts_.begin(), parts_.end(),
                                      [&](const auto& part) { return part.first == name; });
      terms.parts.emplace_back(name, found == parts_.end() ? Tensor() : found->second);
    }
    return terms;
  }

 private:
  static Tensor rows(const Tensor& z) { return z.reshape({-1, z.size(-1)}); }

  /// `per_frame`: a mean over frames that becomes a sum over a window's T where sums are asked for.
  void add(const std::string& name, double weight, const Tensor& value, bool per_frame = false) {
    const double factor =
        per_frame && o_.reduction == Reduction::sum ? static_cast<double>(T_) : 1.0;
    const Tensor whole = factor == 1 ? value : value * factor;
    parts_.emplace_back(name, whole.detach());
    if (weight == 0) return;
    const Tensor term = weight == 1 ? whole : whole * weight;
    total_ = total_.defined() ? total_ + term : term;
  }

  LinearMap linear_map() {
    const auto& m = model_.options();
    if (m.transition == Transition::nonlinear) return {};
    if (m.op != OperatorKind::ridge) return model_.linear_map();
    const Tensor features = model_.features(z_.narrow(1, 0, T_), batch_.actions);
    const int64_t p = features.size(-1), B = z_.size(0);
    const Tensor solution = ridge_matrix(features.reshape({B, -1, p}),
                                         z_.narrow(1, 1, T_).reshape({B, -1, z_.size(-1)}),
                                         {.ridge = m.ridge, .detach = o_.detach, .group = group_});
    const int64_t states = m.latent * std::max<int64_t>(1, m.relation_types);
    return {solution.narrow(1, 0, states),
            p > states ? solution.narrow(1, states, p - states) : Tensor()};
  }

  /// K^h z_n for n + h <= T: element h - 1 is [B, T + 1 - h, ...].
  std::vector<Tensor> predict() {
    std::vector<Tensor> predicted;
    Tensor state = z_;
    const bool pfnn = model_.options().transition == Transition::pfnn && batch_.times.defined();
    for (int64_t h = 1; h <= o_.horizon; ++h) {
      const int64_t n = T_ + 1 - h;  // frame i of the state is K^{h-1} z_i
      const Tensor actions =
          batch_.actions.defined() ? batch_.actions.narrow(1, h - 1, n) : Tensor();
      Tensor transient;
      if (pfnn) {
        const Tensor frame = at::arange(h - 1, h - 1 + n, batch_.times.options());
        transient = batch_.times.unsqueeze(1) + frame < model_.options().transient;
      }
      state = model_.advance(state.narrow(1, 0, n), actions, map_, transient);
      predicted.push_back(state);
    }
    return predicted;
  }

  void decode(const std::vector<Tensor>& predicted) {
    const Tensor& x = batch_.frames;
    std::vector<Tensor> pieces;
    const bool reconstruct = o_.reconstruction > 0;
    if (reconstruct) pieces.push_back(z_);
    pieces.insert(pieces.end(), predicted.begin(), predicted.end());
    std::vector<int64_t> frames;
    for (const Tensor& piece : pieces) frames.push_back(piece.size(1));
    const Tensor all = model_.decode(pieces.size() == 1 ? pieces[0] : at::cat(pieces, 1));
    const auto decoded = all.split_with_sizes(frames, 1);
    if (reconstruct) add("reconstruction", o_.reconstruction, error(decoded[0], x), true);
    Tensor sum;
    for (int64_t h = 1; h <= o_.horizon; ++h) {
      const Tensor& y = decoded[static_cast<size_t>(h - (reconstruct ? 0 : 1))];
      const Tensor one = error(y, x.narrow(1, h, T_ + 1 - h));
      sum = sum.defined() ? sum + one : one;
    }
    add("prediction", o_.prediction, o_.horizon == 1 ? sum : sum / static_cast<double>(o_.horizon),
        true);
  }

  void divergences(const Latents& latents, const Tensor& predicted) {
    int64_t D = 1;
    for (const int64_t size : model_.options().sample) D *= size;
    const double scale = 2 * o_.variance / static_cast<double>(D);
    const Tensor zero = at::zeros({1}, z_.options());
    add("latent", o_.beta,
        scale * gaussian_divergence(latents.mean.narrow(1, 1, T_),
                                    latents.log_deviation.narrow(1, 1, T_), predicted,
                                    model_.log_transition())
                    .mean(),
        true);
    add("prior", o_.prior,
        scale * gaussian_divergence(latents.mean, latents.log_deviation, zero, zero).mean(), true);
  }

  Tensor coherence() {
    Tensor z = sequences(z_, model_.graph());
    if (o_.estimator == Estimator::gaussian) return gaussian_coherence();
    const ContrastOptions contrast_options{
        .k = o_.k, .tau = o_.tau, .similarity = o_.inner ? Similarity::inner : Similarity::cosine};
    const bool within = o_.estimator == Estimator::nce_ref;
    if (!within && o_.global && group_ != nullptr && group_->world_size() > 1) {
      z = with_all_ranks(z, *group_);
    }
    const Tensor I = within ? contrast_within(z, contrast_options) : contrast(z, contrast_options);
    if (!o_.normalise) return I;
    const int64_t terms = within ? z.size(1) - 1 : z.size(0) * z.size(1) - 1;
    return I / std::log(static_cast<double>(std::max<int64_t>(2, terms)));
  }

  /// The latents as a linear Gaussian process: C their covariance, the noise the transition's
  /// (variational) or the variance of the batch's residuals (derived).
  Tensor gaussian_coherence() {
    if (model_.graph() || model_.options().transition == Transition::nonlinear) {
      throw Unsupported("estimator: gaussian needs a linear map of single states");
    }
    const int64_t d = z_.size(-1);
    const Tensor from = z_.narrow(1, 0, T_);
    const Tensor flat = rows(from);
    const Tensor centred = flat - flat.mean(0);
    const Tensor C = centred.t().mm(centred) / static_cast<double>(flat.size(0));
    Tensor variance;
    if (model_.options().variational) {
      variance = (2 * model_.log_transition()).exp();
    } else {
      const Tensor next = model_.advance(from, batch_.actions, map_);
      variance = rows(z_.narrow(1, 1, T_) - next).square().mean(0) + 1e-6 * C.trace() / d;
    }
    return gaussian_information(map_.K, variance.diag(), C, o_.k);
  }

  Model& model_;
  const Batch& batch_;
  const LossOptions& o_;
  dist::ProcessGroup* group_;
  const int64_t T_;
  Tensor z_, total_;
  LinearMap map_;
  std::vector<std::pair<std::string, Tensor>> parts_;
};

}  // namespace

Estimator parse_estimator(std::string_view name) {
  if (name == "nce_paper") return Estimator::nce_paper;
  if (name == "nce_ref") return Estimator::nce_ref;
  if (name == "gaussian") return Estimator::gaussian;
  throw InvalidArgument("estimator", "nce_paper, nce_ref or gaussian", name);
}

const std::vector<std::string>& part_names() {
  static const std::vector<std::string> names = {
      "reconstruction", "prediction", "latent", "coherence", "entropy", "prior", "unitarity"};
  return names;
}

Terms objective(Model& model, const Batch& batch, const LossOptions& options,
                dist::ProcessGroup* group) {
  check(model, batch, options);
  return Objective(model, batch, options, group).compute();
}

Tensor gaussian_divergence(const Tensor& mean, const Tensor& log_deviation, const Tensor& target,
                           const Tensor& log_scale) {
  const Tensor ratio = log_deviation - log_scale;
  const Tensor shift = (mean - target) * (-log_scale).exp();
  return 0.5 * ((2 * ratio).exp() + shift.square() - 1 - 2 * ratio).sum(-1);
}

}  // namespace ritz::koopman::learned
