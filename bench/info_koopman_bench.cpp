// A training step of the information-shaped Koopman autoencoder beside the same step written as the
// published program has it: a loop over time that calls encoder and decoder once a frame, a
// contrast in a loop over anchors, and an entropy differentiated through its eigenvectors.
//
//   build/release/bench/info_koopman_bench --benchmark_filter=step
//   build/release/bench/info_koopman_bench --benchmark_filter=entropy
//
// T = 16. "mlp 512": frames of 256 numbers, widths 512, d = 512, batch 16; "mlp 16": 48-64-16,
// batch 8; "conv 512": 2 x 64 x 64, the published network without its dropout, d = 512, batch 4. K
// is the mean of the sequences' ridge solutions in both.
#include <benchmark/benchmark.h>
#include <torch/optim/adam.h>
#include <torch/types.h>

#include "ritz/base/random.h"
#include "ritz/base/threads.h"
#include "ritz/koopman/learned/entropy.h"
#include "ritz/koopman/learned/loss.h"
#include "ritz/optim/first_order.h"

namespace {

using at::Tensor;
using namespace ritz::koopman::learned;

constexpr int64_t kSteps = 16;
constexpr int64_t kNeighbours = 3;
constexpr double kAlpha = 2, kGamma = 0.1, kIdentity = 0.1, kTau = 0.1;

struct Workload {
  ModelOptions model;
  int64_t batch;
};

Workload workload(int64_t which) {
  if (which == 0) return {{.network = "mlp:512", .sample = {256}, .latent = 512}, 16};
  if (which == 1) return {{.network = "mlp:64", .sample = {48}, .latent = 16}, 8};
  return {{.network = "conv", .sample = {2, 64, 64}, .latent = 512, .dropout = 0}, 4};
}

struct Case {
  explicit Case(int64_t which) : work(workload(which)) {
    ritz::set_threads(1);
    work.model.op = OperatorKind::ridge;
    model = std::make_shared<Model>(work.model);
    model->train();
    std::vector<int64_t> shape = work.model.sample;
    shape.insert(shape.begin(), {work.batch, kSteps + 1});
    frames = ritz::RandomStream(1).normal(shape, at::kFloat);
  }
  Workload work;
  std::shared_ptr<Model> model;
  Tensor frames;
};

void clip(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> gradients, norms;
  for (const Tensor& p : parameters) {
    gradients.push_back(p.grad());
    norms.push_back(p.grad().norm());
  }
  const double norm = at::stack(norms).norm().item<double>();
  if (norm > 1) at::_foreach_mul_(gradients, 1 / norm);
}

LossOptions terms(double gamma) {
  return {.reconstruction = kIdentity,
          .alpha = kAlpha,
          .beta = 0,
          .gamma = gamma,
          .reduction = Reduction::sum,
          .estimator = Estimator::nce_ref,
          .k = kNeighbours,
          .tau = kTau};
}

void ritz_step(benchmark::State& state, double gamma) {
  Case c(state.range(0));
  ritz::optim::Adam optimizer(c.model->parameters(), {.lr = 1e-4});
  const LossOptions options = terms(gamma);
  for (auto _ : state) {
    optimizer.zero_grad();
    objective(*c.model, {c.frames}, options).total.backward();
    clip(c.model->parameters());
    optimizer.step();
  }
}

/// The same parameters and terms, a frame at a time.
class Loop {
 public:
  explicit Loop(const Case& c) : model_(*c.model), conv_(c.work.model.sample.size() == 3) {
    for (const auto& item : model_.named_parameters()) p_[item.key()] = item.value();
  }

  Tensor loss(const Tensor& frames) const {
    const int64_t T = frames.size(1) - 1;
    std::vector<Tensor> latents;
    for (int64_t t = 0; t <= T; ++t) latents.push_back(encode(frames.select(1, t)));
    const Tensor z = at::stack(latents, 1);
    const Tensor from = z.narrow(1, 0, T), to = z.narrow(1, 1, T);
    const Tensor gram = from.matmul(from.transpose(1, 2)) + 0.1 * at::eye(T);
    const Tensor K =
        (T < z.size(2)
             ? from.transpose(1, 2).matmul(at::linalg_solve(gram, to))
             : at::linalg_solve(from.transpose(1, 2).matmul(from) + 0.1 * at::eye(z.size(2)),
                                from.transpose(1, 2).matmul(to)))
            .mean(0);
    Tensor loss;
    for (int64_t t = 0; t < T; ++t) {
      const Tensor ahead =
          at::mse_loss(decode(latents[static_cast<size_t>(t)].mm(K)), frames.select(1, t + 1));
      loss = loss.defined() ? loss + ahead : ahead;
    }
    const double identity = kIdentity * T / (T + 1.0);  // ritz sums T times the mean
    for (int64_t t = 0; t <= T; ++t) {
      loss = loss +
             identity * at::mse_loss(decode(latents[static_cast<size_t>(t)]), frames.select(1, t));
    }
    return loss + kAlpha * contrast(z) - kGamma * entropy_by_autograd(z.reshape({-1, z.size(2)}));
  }

 private:
  const Tensor& p(const std::string& name) const { return p_.at(name); }
  Tensor linear(const Tensor& x, const std::string& name) const {
    return at::linear(x, p(name + ".weight"), p(name + ".bias"));
  }
  Tensor conv(const Tensor& x, const std::string& name) const {
    const Tensor& w = p(name + ".weight");
    return at::conv2d(x, w, p(name + ".bias"), 1, w.size(2) / 2);
  }
  Tensor encode(const Tensor& x) const {
    if (!conv_) return linear(linear(x, "encoder.0").relu(), "encoder.1");
    Tensor y = x;
    // conv, ReLU, pool: three entries each; the last without a pool, then dropout and flatten.
    for (int i = 0; i < 5; ++i) {
      y = conv(y, "encoder." + std::to_string(3 * i)).relu();
      if (i < 4) y = at::avg_pool2d(y, {2, 2});
    }
    return linear(y.flatten(1), "encoder.16");
  }
  Tensor decode(const Tensor& z) const {
    if (!conv_) return linear(linear(z, "decoder.0").relu(), "decoder.1");
    Tensor y = linear(z, "decoder.0").relu().view({-1, 256, 4, 4});
    y = conv(y, "decoder.2").relu();
    for (const int at : {5, 8, 11, 14}) {
      y = at::upsample_bilinear2d(y, {2 * y.size(2), 2 * y.size(3)}, false);
      y = conv(y, "decoder." + std::to_string(at));
      if (at < 14) y = y.relu();
    }
    y = conv(y, "decoder.15").relu();
    return conv(conv(y, "decoder.17").relu(), "decoder.19");
  }
  static Tensor contrast(const Tensor& latents) {
    const Tensor z = latents / latents.norm(2, -1, true).clamp_min(1e-8);
    const int64_t T = z.size(1);
    Tensor total;
    for (int64_t n = kNeighbours; n < T - kNeighbours; ++n) {
      const Tensor scores = at::bmm(z, z.select(1, n).unsqueeze(2)).squeeze(2) / kTau;
      const Tensor near = at::cat(
          {scores.narrow(1, n - kNeighbours, kNeighbours), scores.narrow(1, n + 1, kNeighbours)},
          1);
      const Tensor far = at::cat({scores.narrow(1, 0, n - kNeighbours),
                                  scores.narrow(1, n + 1 + kNeighbours, T - n - 1 - kNeighbours)},
                                 1);
      const Tensor one = (at::cat({near, far}, 1).logsumexp(1) - near.logsumexp(1)).mean();
      total = total.defined() ? total + one : one;
    }
    return total / static_cast<double>(T - 2 * kNeighbours);
  }
  static Tensor entropy_by_autograd(const Tensor& rows) {
    const Tensor centred = rows - rows.mean(0);
    const Tensor C = centred.t().mm(centred) / rows.size(0) + 1e-8 * at::eye(rows.size(1));
    const Tensor l = at::linalg_eigvalsh(C / C.trace());
    return -(l * l.clamp_min(1e-6).log()).sum();
  }

  Model& model_;
  const bool conv_;
  std::map<std::string, Tensor> p_;
};

void loop_step(benchmark::State& state) {
  Case c(state.range(0));
  const Loop loop(c);
  const double expected = objective(*c.model, {c.frames}, terms(kGamma)).total.item<double>();
  const double found = loop.loss(c.frames).item<double>();
  if (std::abs(expected - found) > 1e-3 * (1 + std::abs(expected))) {
    state.SkipWithError(
        ("the losses differ: " + std::to_string(expected) + " and " + std::to_string(found))
            .c_str());
    return;
  }
  torch::optim::Adam optimizer(c.model->parameters(), torch::optim::AdamOptions(1e-4));
  for (auto _ : state) {
    optimizer.zero_grad();
    loop.loss(c.frames).backward();
    clip(c.model->parameters());
    optimizer.step();
  }
}

/// The entropy of B (T + 1) latents and its gradient alone.
void entropy_alone(benchmark::State& state) {
  ritz::set_threads(1);
  const Tensor rows = ritz::RandomStream(1)
                          .normal({state.range(0), state.range(1)}, at::kFloat)
                          .requires_grad_(true);
  for (auto _ : state) {
    rows.mutable_grad() = Tensor();
    entropy(rows).backward();
  }
}

/// A frame at a time, all frames at once, and in the pieces that ritz takes.
void conv_pieces(benchmark::State& state) {
  Case c(2);
  const auto nets = make_networks("conv", {.sample = {2, 64, 64}, .latent = 512, .dropout = 0});
  const Tensor x = c.frames.flatten(0, 1);
  for (auto _ : state) apply_in_pieces(*nets.encoder, x, state.range(0)).sum().backward();
}

BENCHMARK_CAPTURE(ritz_step, all, kGamma)
    ->Name("step/ritz")
    ->DenseRange(0, 2)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ritz_step, without, 0.0)
    ->Name("step/ritz without entropy")
    ->DenseRange(0, 2)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(loop_step)->Name("step/loop over time")->DenseRange(0, 2)->Unit(benchmark::kMillisecond);
BENCHMARK(entropy_alone)
    ->Name("entropy/rows, d")
    ->Args({272, 512})
    ->Args({136, 16})
    ->Args({68, 512})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(conv_pieces)
    ->Name("conv/frames a call")
    ->Arg(4)
    ->Arg(8)
    ->Arg(16)
    ->Arg(68)
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
