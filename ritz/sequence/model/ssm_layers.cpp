#include "ritz/sequence/model/ssm_layers.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/sequence/cauchy.h"
#include "ritz/sequence/convolution.h"
#include "ritz/sequence/hippo.h"
#include "ritz/sequence/model/gru.h"
#include "ritz/sequence/model/lengths.h"
#include "ritz/sequence/scan.h"
#include "ritz/sequence/step.h"
#include "ritz/sequence/vandermonde.h"

namespace ritz::sequence {

namespace {

constexpr double kClip = -1e-4;  // the largest real part of RealPart::clipped

const TensorOptions kF64(at::kDouble), kC128(at::kComplexDouble);

/// Eigenvalues that have no matrix behind them, with B = 1.
DiagonalSystem by_formula(const Tensor& eigenvalues) {
  const int64_t N = eigenvalues.size(0);
  return {.eigenvalues = eigenvalues,
          .B = at::ones({N}, kC128),
          .W = {},
          .W_inv = {},
          .weights = at::full({N}, 2, kF64)};
}

/// J copies side by side: eigenvalues one after the other, W and W^-1 block diagonal.
DiagonalSystem in_blocks(const DiagonalSystem& one, int64_t J) {
  if (J == 1) return one;
  const std::vector<Tensor> W(static_cast<size_t>(J), one.W),
      W_inv(static_cast<size_t>(J), one.W_inv);
  return {.eigenvalues = one.eigenvalues.repeat(J),
          .B = one.B.repeat(J),
          .W = at::block_diag(W),
          .W_inv = at::block_diag(W_inv),
          .weights = one.weights.repeat(J)};
}

/// HiPPO perturbed; where the answer is not stable, it is no start.
DiagonalSystem perturbed_start(const LayerOptions& o, int64_t n) {
  if (o.E.defined()) check_shape("E", o.E, {n, n});
  const Perturbation made =
      o.E.defined() ? perturb_hippo_with(o.E) : cached_hippo(n, o.perturbation);
  require_stable(made);
  return hippo_system(made, o.storage);
}

/// The system that a layer of `n` states in its original coordinates starts from.
DiagonalSystem start_of(const LayerOptions& o, int64_t n) {
  switch (o.kind) {
    case LayerKind::s4d:
    case LayerKind::s5:
      return diagonal_hippo(n, {.b_scale = o.b_scale, .storage = o.storage});
    case LayerKind::s4d_lin:
      return by_formula(s4d_lin_eigenvalues(n));
    case LayerKind::s4d_inv:
      return by_formula(s4d_inv_eigenvalues(n));
    case LayerKind::s4_ptd:
    case LayerKind::s5_ptd:
      return perturbed_start(o, n);
    case LayerKind::s4:
    case LayerKind::gru:
      break;
  }
  throw InvalidArgument("kind", "a diagonal system's", layer_kind_name(o.kind));
}

/// One that will be filled from a file: shapes alone.
DiagonalSystem blank(int64_t n, int64_t N) {
  return {.eigenvalues = at::full({N}, c10::complex<double>(-1, 0), kC128),
          .B = at::zeros({N}, kC128),
          .W = at::zeros({n, N}, kC128),
          .W_inv = at::zeros({N, n}, kC128),
          .weights = at::ones({N}, kF64)};
}

/// u [n, L, H] as the kernels of one channel want it, [n, H, L], zero beyond the lengths.
Tensor by_channel(const Tensor& u, const Tensor& lengths) {
  const Tensor x = u.transpose(1, 2);
  if (!lengths.defined()) return x.contiguous();
  return x * length_mask(lengths, u.size(1)).unsqueeze(1).to(u.scalar_type());
}

/// n steppers of one sequence each.
template <class Stepper>
class StepperStream : public LayerStream {
 public:
  /// Each is made anew, for copies of a stepper may share their state.
  template <class Make>
  StepperStream(const Make& make, int64_t n) {
    for (int64_t k = 0; k < n; ++k) steppers_.push_back(make());
  }
  Tensor push(const Tensor& u) override {
    const at::NoGradGuard no_graph;
    const Tensor x = u.detach().to(at::kCPU).contiguous();
    check_at_least("sequences of u", x.size(0), static_cast<int64_t>(steppers_.size()));
    if (steppers_.size() == 1) return steppers_[0].step(x[0]).unsqueeze(0).to(u.device());
    std::vector<Tensor> y;
    for (size_t k = 0; k < steppers_.size(); ++k) {
      y.push_back(steppers_[k].step(x[static_cast<int64_t>(k)]));
    }
    return at::stack(y, 0).to(u.device());
  }
  std::vector<Tensor> state() const override {
    std::vector<Tensor> all;
    for (const auto& stepper : steppers_) all.push_back(stepper.state());
    return all;
  }
  void set_state(const std::vector<Tensor>& state) override {
    if (state.size() != steppers_.size()) {
      throw InvalidArgument("state", std::to_string(steppers_.size()) + " tensors",
                            std::to_string(state.size()));
    }
    for (size_t k = 0; k < state.size(); ++k) steppers_[k].set_state(state[k]);
  }
  void reset() override {
    for (auto& stepper : steppers_) stepper.reset();
  }

 private:
  std::vector<Stepper> steppers_;
};
template <class Make>
std::unique_ptr<LayerStream> stream_of(const Make& make, int64_t n) {
  return std::make_unique<StepperStream<decltype(make())>>(make, n);
}

/// H systems of one input and one output, diagonal.
class SisoLayer : public StateSpaceLayer {
 public:
  explicit SisoLayer(const LayerOptions& options)
      : StateSpaceLayer(options, {Mode::convolution, Mode::scan, Mode::step}) {
    const auto system = options_.stored > 0 ? blank(options_.states, options_.stored)
                                            : start_of(options_, options_.states);
    register_system(system, options_.systems);
    register_complex("B", B_, system.B.expand({options_.systems, -1}), options_.freeze_B);
  }

 private:
  struct Sampled {
    DiscreteSystem system;  // [H, N]
    Tensor B, C;            // complex [H, N] with the gain; [directions, H, N] with weights
  };
  Sampled sampled() const {
    const int64_t each = width / options_.systems;
    const Tensor m = eigenvalues().repeat_interleave(each, 0);
    const Tensor dt = steps();
    Sampled s{
        discretise(m, dt.dim() == 1 ? dt.unsqueeze(1) : dt, *options_.discretisation), {}, {}};
    s.B = s.system.gain * at::view_as_complex(B_).repeat_interleave(each, 0);
    s.C = output_map() * weights_;
    return s;
  }
  Tensor answer(const Tensor& u, const Tensor& lengths, Mode mode) override {
    const Sampled s = sampled();
    const Tensor x = by_channel(u, bidirectional ? lengths : Tensor());
    if (mode == Mode::scan) {
      const Tensor y = siso_scan(x, s.system.a, s.B, s.C[0], D_);
      if (!bidirectional) return y.transpose(1, 2);
      return (y + siso_scan(x, s.system.a, s.B, s.C[1], {}, {.reverse = true, .lengths = lengths}))
          .transpose(1, 2);
    }
    const auto kernel = [&](int64_t direction) {
      return vandermonde_kernel(s.system.log_a, s.C[direction] * s.B, u.size(1), u.scalar_type());
    };
    const Tensor y = bidirectional ? bidirectional_convolution(x, kernel(0), kernel(1), D_)
                                   : causal_convolution(x, kernel(0), D_);
    return y.transpose(1, 2);
  }
  std::unique_ptr<LayerStream> make_stream(int64_t n) const override {
    const at::NoGradGuard no_graph;
    const Sampled s = sampled();
    return stream_of([&] { return SisoStepper(s.system.a, s.B, s.C[0], D_); }, n);
  }
  Tensor channel_steps() const override {
    const Tensor dt = steps();
    return dt.dim() == 1 ? dt : Tensor();
  }
};

/// H systems of one input and one output, diagonal plus low rank.
class DplrLayer : public StateSpaceLayer {
 public:
  explicit DplrLayer(const LayerOptions& options)
      : StateSpaceLayer(options, {Mode::convolution, Mode::step}) {
    DplrSystem start;
    DiagonalSystem system;
    if (options_.stored > 0) {
      system = blank(options_.states, options_.stored);
      start.P = system.B;
    } else {
      start = dplr_hippo(options_.states, options_.storage);
      system = {.eigenvalues = start.eigenvalues,
                .B = start.B,
                .W = start.V,
                .W_inv = {},
                .weights = start.weights};
    }
    register_system(system, options_.systems);
    register_complex("B", B_, system.B.expand({options_.systems, -1}), options_.freeze_B);
    register_complex("P", P_, start.P.expand({options_.systems, -1}), options_.freeze_A);
  }

 private:
  DplrParameters sampled() const {
    const auto each_channel = [&](const Tensor& x) {
      return x.repeat_interleave(width / options_.systems, 0);
    };
    return {.eigenvalues = each_channel(eigenvalues()),
            .P = each_channel(at::view_as_complex(P_)),
            .B = each_channel(at::view_as_complex(B_)),
            .weights = weights_,
            .dt = steps()};
  }
  Tensor answer(const Tensor& u, const Tensor& lengths, Mode) override {
    const DplrParameters system = sampled();
    const Tensor C = output_map();
    const auto kernel = [&](int64_t direction) {
      return dplr_kernel(system, C[direction], u.size(1), u.scalar_type());
    };
    const Tensor x = by_channel(u, bidirectional ? lengths : Tensor());
    const Tensor y = bidirectional ? bidirectional_convolution(x, kernel(0), kernel(1), D_)
                                   : causal_convolution(x, kernel(0), D_);
    return y.transpose(1, 2);
  }
  std::unique_ptr<LayerStream> make_stream(int64_t n) const override {
    const at::NoGradGuard no_graph;
    const DplrParameters system = sampled();
    const Tensor C = output_map()[0];
    return stream_of([&] { return DplrStepper(system, C, D_); }, n);
  }
  Tensor channel_steps() const override { return steps(); }
  Tensor P_;
};

/// One system of H inputs and H outputs, diagonal.
class MimoLayer : public StateSpaceLayer {
 public:
  explicit MimoLayer(const LayerOptions& options)
      : StateSpaceLayer(options, {Mode::scan, Mode::step}) {
    const int64_t J = options_.blocks, P = options_.states;
    if (P % J != 0) {
      throw InvalidArgument("blocks", "a divisor of the " + std::to_string(P) + " states",
                            std::to_string(J));
    }
    const auto system =
        options_.stored > 0 ? blank(P, options_.stored) : in_blocks(start_of(options_, P / J), J);
    register_system(system, 1);
    // B real and LeCun normal in the original coordinates (S5: fan-in as JAX counts it, P).
    RandomStream random(options_.seed, stream_id("sequence/B"));
    const Tensor B = random.normal({P, width}, kF64, 0, 1 / std::sqrt(static_cast<double>(P)));
    register_complex("B", B_, system.W_inv.mm(B.to(at::kComplexDouble)), options_.freeze_B);
  }

 private:
  struct Sampled {
    Tensor a, B, C;  // [P]; [P, H] with the gain; [directions, H, P] with weights
  };
  Sampled sampled() const {
    const auto system = discretise(eigenvalues(), steps(), *options_.discretisation);
    return {system.a, system.gain.unsqueeze(1) * at::view_as_complex(B_), output_map() * weights_};
  }
  Tensor answer(const Tensor& u, const Tensor& lengths, Mode) override {
    const Sampled s = sampled();
    const Tensor C = bidirectional ? at::cat({s.C[0], s.C[1]}, 1) : s.C[0];
    // Causal, the padding cannot reach what is before it.
    const Tensor ends = bidirectional ? lengths : Tensor();
    return mimo_scan(u, s.a, s.B, C, D_, {.bidirectional = bidirectional, .lengths = ends});
  }
  std::unique_ptr<LayerStream> make_stream(int64_t n) const override {
    const at::NoGradGuard no_graph;
    const Sampled s = sampled();
    return stream_of([&] { return MimoStepper(s.a, s.B, s.C[0], D_); }, n);
  }
};

LayerOptions with_defaults(LayerOptions o) {
  check_at_least("width", o.width, 1);
  check_at_least("states", o.states, 1);
  check_at_least("blocks", o.blocks, 1);
  check_at_least("systems", o.systems, 1);
  check_positive("dt_min", o.dt_min);
  check_positive("dt_max", o.dt_max);
  if (o.dt_min > o.dt_max) {
    throw InvalidArgument("dt_min", "at most dt_max = " + number_text(o.dt_max),
                          number_text(o.dt_min));
  }
  const std::string name = layer_kind_name(o.kind);
  o.tensor = TensorOptions(o.tensor.device()).dtype(o.tensor.dtype());  // float32 where unsaid
  if (o.kind == LayerKind::gru) return o;
  if (o.width % o.systems != 0) {
    throw InvalidArgument("systems", "a divisor of the width " + std::to_string(o.width),
                          std::to_string(o.systems));
  }
  if (o.blocks > 1 && !is_s5(o.kind)) {
    throw InvalidArgument("blocks", "1 for " + name + "; s5 and s5-ptd have blocks",
                          std::to_string(o.blocks));
  }
  const bool s4 = o.kind == LayerKind::s4;
  if (!o.discretisation) o.discretisation = s4 ? Discretisation::bilinear : Discretisation::zoh;
  if (s4 && *o.discretisation != Discretisation::bilinear) {
    throw InvalidArgument("discretisation", "bilinear for s4, whose kernel is made for it",
                          name_of(*o.discretisation));
  }
  if ((s4 || is_s5(o.kind)) && o.steps_by_state && s4) {
    throw InvalidArgument("steps_by_state", "one step a channel for s4", "one a state");
  }
  if (!o.real_part) o.real_part = is_s5(o.kind) ? RealPart::clipped : RealPart::exponential;
  if (!o.output) o.output = is_s5(o.kind) ? OutputForm::lecun : OutputForm::diagonal;
  const bool formula = o.kind == LayerKind::s4d_lin || o.kind == LayerKind::s4d_inv;
  if (formula && *o.output != OutputForm::diagonal) {
    throw InvalidArgument("output", "diagonal for " + name + ", which has no other coordinates",
                          *o.output == OutputForm::lecun ? "lecun" : "original");
  }
  if (formula && o.states % 2 != 0) {
    throw InvalidArgument("states",
                          "an even number for " + name + ", which stores one of each pair",
                          std::to_string(o.states));
  }
  return o;
}

}  // namespace

StateSpaceLayer::StateSpaceLayer(const LayerOptions& options, std::vector<Mode> modes)
    : Layer(layer_kind_name(options.kind), std::move(modes), options.width, options.bidirectional),
      options_(options) {}

void StateSpaceLayer::register_complex(const char* name, Tensor& field, const Tensor& start,
                                       bool frozen) {
  field = register_parameter(name, at::view_as_real(start.contiguous()).to(options_.tensor).clone(),
                             !frozen);
}

void StateSpaceLayer::register_system(const DiagonalSystem& system, int64_t systems) {
  const LayerOptions& o = options_;
  const int64_t N = system.eigenvalues.size(0), H = width, directions = bidirectional ? 2 : 1;
  stored_ = N;
  const Tensor re = at::real(system.eigenvalues);
  if (!(re.max().item<double>() < 0)) {
    throw InvalidArgument("eigenvalues", "negative real parts",
                          "max Re " + number_text(re.max().item<double>()));
  }
  const Tensor p = *o.real_part == RealPart::exponential ? re.neg().log() : re;
  const auto shaped = [&](const Tensor& x) {  // [S, N], or [P]
    return is_s5(o.kind) ? x.clone() : x.expand({systems, N}).clone();
  };
  A_real_ = register_parameter("A_real", shaped(p).to(o.tensor), !o.freeze_A);
  A_imag_ =
      register_parameter("A_imag", shaped(at::imag(system.eigenvalues)).to(o.tensor), !o.freeze_A);

  const auto random = [&](const char* what) { return RandomStream(o.seed, stream_id(what)); };
  std::vector<int64_t> steps_shape{is_s5(o.kind) ? N : H};
  if (o.steps_by_state && !is_s5(o.kind)) steps_shape.push_back(N);
  const double low = std::log(o.dt_min), high = std::log(o.dt_max);  // perhaps equal
  const Tensor log_dt = low + (high - low) * random("sequence/log_dt").uniform(steps_shape, kF64);
  log_dt_ = register_parameter("log_dt", log_dt.to(o.tensor), !o.freeze_dt);
  D_ = register_parameter("D", random("sequence/D").normal({H}, kF64).to(o.tensor));
  weights_ = register_buffer("weights", system.weights.to(o.tensor));

  RandomStream normal = random("sequence/C");
  const int64_t n = o.states;
  switch (*o.output) {
    case OutputForm::original:
      basis_ =
          register_buffer("basis", at::view_as_real(system.W.contiguous()).to(o.tensor).clone());
      C_ = register_parameter("C", normal.normal({directions, H, n}, kF64).to(o.tensor));
      return;
    case OutputForm::lecun: {
      // Real and imaginary part of variance 1/P each, then into the eigenvectors' coordinates.
      const double sd = std::sqrt(2 / static_cast<double>(n));
      register_complex("C", C_, normal.normal({directions, H, n}, kC128, 0, sd).matmul(system.W),
                       false);
      return;
    }
    case OutputForm::diagonal:
      break;
  }
  register_complex("C", C_, normal.normal({directions, H, N}, kC128), false);
}

Tensor StateSpaceLayer::eigenvalues() const {
  const Tensor re =
      *options_.real_part == RealPart::exponential ? A_real_.exp().neg() : A_real_.clamp_max(kClip);
  return at::complex(re, A_imag_);
}

Tensor StateSpaceLayer::steps() const {
  return log_dt_.to(at::kDouble).exp();
}

double StateSpaceLayer::phase() const {
  const at::NoGradGuard no_graph;
  const Tensor dt = steps();
  const Tensor m = eigenvalues();
  if (is_s5(options_.kind)) return largest_phase(m, dt);
  return largest_phase(m.repeat_interleave(width / options_.systems, 0),
                       dt.dim() == 1 ? dt.unsqueeze(1) : dt);
}

Tensor StateSpaceLayer::respond(const Tensor& u, const Tensor& lengths, Mode mode) {
  const auto finite = [](const Tensor& x) { return x.isfinite().all().item<bool>(); };
  // Training has diverged where they are not: the loss should say so, not an error of the kernels.
  const bool usable = finite(steps()) && finite(A_real_) && finite(A_imag_);
  return usable ? answer(u, lengths, mode) : at::full_like(u, std::nan(""));
}

Tensor StateSpaceLayer::output_map() const {
  // A real C times the complex basis is one real product.
  const Tensor C = basis_.defined() ? C_.matmul(basis_.flatten(1)).unflatten(-1, {stored_, 2}) : C_;
  return at::view_as_complex(C);
}

std::shared_ptr<Layer> make_layer(const LayerOptions& given) {
  const LayerOptions options = with_defaults(given);
  if (options.kind == LayerKind::gru) return std::make_shared<GruLayer>(options);
  if (options.kind == LayerKind::s4) return std::make_shared<DplrLayer>(options);
  if (is_s5(options.kind)) return std::make_shared<MimoLayer>(options);
  return std::make_shared<SisoLayer>(options);
}

}  // namespace ritz::sequence
