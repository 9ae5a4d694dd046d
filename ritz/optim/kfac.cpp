#include "ritz/optim/kfac.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/optim/detail/product.h"
#include "ritz/optim/typed.h"

namespace ritz::optim {

namespace {

KroneckerOptions shared(const KfacOptions& o) {
  return {.f = o.f,
          .warmup = o.warmup,
          .rescale = o.rescale,
          .kl_clip = o.kl_clip,
          .exclude = o.exclude};
}

KfacOptions checked(const KfacOptions& o) {
  check_at_least("factor_every", o.factor_every, 1);
  check_positive("damping", o.damping);
  check_rate("decay", o.decay);
  return o;
}

bool is_finite(const Tensor& number) {
  return std::isfinite(number.item<double>());
}

}  // namespace

Kfac::Kfac(const nn::Network& network, std::unique_ptr<Optimizer> backend, KfacOptions options,
           dist::ProcessGroup* group)
    : KroneckerOptimizer({.name = "kfac"}, network, std::move(backend), shared(options), group),
      own_(checked(options)) {
  std::vector<double> costs;
  for (const auto& layer : layers()) {
    const auto identity = [&](int64_t d) {
      Side side;
      side.moment = at::eye(d, layer.weight().options().requires_grad(false));
      if (own_.factor_every % own_.f != 0) side.inverted = side.moment.clone();
      return side;
    };
    states_.push_back({identity(layer.inputs()), identity(layer.outputs())});
    costs.push_back(std::pow(static_cast<double>(layer.inputs()), 3) +
                    std::pow(static_cast<double>(layer.outputs()), 3));
  }
  const int world = group == nullptr ? 1 : group->world_size();
  rank_ = group == nullptr ? 0 : group->rank();
  grid_ = make_grid(own_.placement, world, own_.grad_worker_fraction);
  workers_ = assign_greedily(costs, grid_);
  if (grid_.rows == 1 || grid_.columns() == 1) return;  // then columns and rows are one rank or all
  std::vector<int> column, row;
  for (int k = 0; k < grid_.rows; ++k) column.push_back(grid_.rank_at(k, grid_.column_of(rank_)));
  for (int k = 0; k < grid_.columns(); ++k) row.push_back(grid_.rank_at(grid_.row_of(rank_), k));
  column_ = group->subgroup(column);
  row_ = group->subgroup(row);
}

bool Kfac::wants_samples(int64_t step) const {
  return renews(step) || (!retired() && (step - 1) % own_.factor_every == 0);
}

/// weight X^T X by its lower triangle, averaged over ranks.
Tensor Kfac::mean_gram(const Tensor& rows, double weight) {
  const int64_t d = rows.size(1);
  const Tensor gram = at::zeros({d, d}, rows.options());
  add_gram(gram, rows, 0, weight);
  timed(times().reduce, [&] { group()->all_reduce_sum(gram); });
  return gram.div_(group()->world_size());
}

void Kfac::update(LayerState& state, const LayerSamples& samples) {
  const auto rows = static_cast<double>(samples.inputs.size(0));
  const double positions = rows / static_cast<double>(samples.samples);
  const double weight = (1 - own_.decay) / (rows * positions * positions);
  Side &a = state.input, &g = state.output;
  if (group() == nullptr) {
    // A sum of squares is finite where all that enters the products is.
    if (!is_finite(samples.inputs.norm() + samples.output_gradients.norm())) {
      ++state.skipped;
      return;
    }
    add_gram(a.moment, samples.inputs, own_.decay, weight);
    add_gram(g.moment, samples.output_gradients, own_.decay, weight);
    return;
  }
  const Tensor A = mean_gram(samples.inputs, weight);
  const Tensor G = mean_gram(samples.output_gradients, weight);
  if (!is_finite(A.trace() + G.trace())) {  // on any rank, and so on all
    ++state.skipped;
    return;
  }
  a.moment.mul_(own_.decay).add_(A);
  g.moment.mul_(own_.decay).add_(G);
}

bool Kfac::holds(size_t k) const {
  return grid_.column_of(rank_) == grid_.column_of(workers_[k]);
}

void Kfac::invert(Side& side) {
  const Tensor& M = side.inverted.defined() ? side.inverted : side.moment;
  if (own_.form == KfacForm::eigen) {
    side.eigen = eigen_factor(M);
    return;
  }
  if (!side.cholesky.defined()) side.cholesky = at::zeros_like(M);
  if (damped_cholesky(M, own_.damping, side.cholesky) != own_.damping) ++raised_;
}

void Kfac::invert_own() {
  raised_ = 0;
  inverted_ = true;
  for (size_t k = 0; k < states_.size(); ++k) {
    if (workers_[k] != rank_) continue;
    invert(states_[k].input);
    invert(states_[k].output);
  }
}

void Kfac::share_inverses() {
  if (group() == nullptr || (grid_.rows == 1 && own_.placement != Placement::comm)) return;
  dist::ProcessGroup& column = column_ ? *column_ : *group();
  for (size_t k = 0; k < states_.size(); ++k) {
    if (!holds(k)) continue;
    const int root = grid_.row_of(workers_[k]);
    for (Side* side : {&states_[k].input, &states_[k].output}) {
      const auto send = [&](Tensor& x, const Tensor& like) {
        if (!x.defined()) x = at::zeros_like(like);
        column.broadcast(x, root);
      };
      if (own_.form == KfacForm::inverse) {
        send(side->cholesky, side->moment);
      } else {
        send(side->eigen.Q, side->moment);
        send(side->eigen.d, side->moment.select(0, 0));
      }
    }
  }
}

void Kfac::renew(const std::vector<std::optional<LayerSamples>>& samples) {
  const int64_t step = steps_done() + 1;
  if (step <= own_.warmup || (step - 1) % own_.factor_every == 0) {
    for (size_t k = 0; k < states_.size(); ++k) {
      if (samples[k]) update(states_[k], *samples[k]);
    }
  }
  if (!renews(step)) return;
  for (auto& state : states_) {
    for (Side* side : {&state.input, &state.output}) {
      if (side->inverted.defined()) side->inverted.copy_(side->moment);
    }
  }
  invert_own();
  timed(times().reduce, [&] { share_inverses(); });
}

Tensor Kfac::divided(size_t k, const Tensor& X) const {
  const Side &a = states_[k].input, &g = states_[k].output;
  const auto batch = batch_behind(k, X);
  if (own_.form == KfacForm::eigen) {
    return batch ? divide_by_eigen(batch->output_gradients, batch->inputs, batch->weight, g.eigen,
                                   a.eigen, own_.damping)
                 : divide_by_eigen(X, g.eigen, a.eigen, own_.damping);
  }
  if (!batch) return divide_columns(g.cholesky, divide_rows(X, a.cholesky)).contiguous();
  const Tensor left = divide_rows(batch->output_gradients, g.cholesky);  // [b, o]
  const Tensor right = divide_rows(batch->inputs, a.cholesky);           // [b, i']
  return detail::product((left * batch->weight).t(), right);
}

std::vector<Tensor> Kfac::precondition(const std::vector<Tensor>& gradients) {
  std::vector<Tensor> hats(gradients.size());
  if (!inverted_) return hats;
  for (size_t k = 0; k < gradients.size(); ++k) {
    if (gradients[k].defined() && holds(k)) hats[k] = divided(k, gradients[k]);
  }
  if (grid_.columns() == 1) return hats;
  dist::ProcessGroup& row = row_ ? *row_ : *group();
  timed(times().reduce, [&] {
    for (size_t k = 0; k < gradients.size(); ++k) {
      if (!gradients[k].defined()) continue;
      if (!hats[k].defined()) hats[k] = at::empty_like(gradients[k], at::MemoryFormat::Contiguous);
      row.broadcast(hats[k], grid_.column_of(workers_[k]));
    }
  });
  return hats;
}

std::vector<NamedTensor> Kfac::factors() {
  std::vector<NamedTensor> all;
  for (size_t k = 0; k < states_.size(); ++k) {
    const std::string& name = layers()[k].name();
    for (const auto& [letter, side] :
         {std::pair{"A", &states_[k].input}, std::pair{"G", &states_[k].output}}) {
      all.push_back({std::string(letter) + "." + name, side->moment});
      if (side->inverted.defined()) {
        all.push_back({std::string(letter) + "_inverted." + name, side->inverted});
      }
    }
  }
  return all;
}

void Kfac::loaded() {
  inverted_ = steps_done() > 0 && renews(1);
  if (!inverted_) return;
  // Every holder inverts for itself here: the same matrices give the same bits, and nothing is
  // sent.
  for (size_t k = 0; k < states_.size(); ++k) {
    if (!holds(k)) continue;
    invert(states_[k].input);
    invert(states_[k].output);
  }
}

int64_t Kfac::inverse_numel() const {
  int64_t all = 0;
  for (const auto& state : states_) {
    for (const Side* side : {&state.input, &state.output}) {
      for (const Tensor& x : {side->cholesky, side->eigen.Q, side->eigen.d}) {
        if (x.defined()) all += x.numel();
      }
    }
  }
  return all;
}

Statistics Kfac::method_statistics() const {
  double skipped = 0;
  for (const auto& state : states_) skipped += static_cast<double>(state.skipped);
  return {{"skipped", skipped}, {"damping_raised", static_cast<double>(raised_)}};
}

void Kfac::complete_report(std::vector<LayerReport>& reports) const {
  for (size_t k = 0; k < states_.size(); ++k) {
    reports[k].input_rank1_error = reports[k].gradient_rank1_error = std::nan("");
    reports[k].skipped = states_[k].skipped;
  }
}

}  // namespace ritz::optim
