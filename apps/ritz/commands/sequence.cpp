#include "apps/ritz/commands/sequence.h"

#include <torch/types.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <ostream>

#include "apps/ritz/frame/run.h"
#include "apps/ritz/frame/tensor_run.h"
#include "ritz/base/progress.h"
#include "ritz/io/array_file.h"
#include "ritz/io/plot.h"
#include "ritz/io/tensor.h"
#include "ritz/sequence/hippo.h"
#include "ritz/sequence/perturbation.h"
#include "ritz/sequence/transfer.h"
#include "ritz/sequence/vandermonde.h"

namespace ritz::app {
namespace {

using sequence::Generator;
using sequence::Perturbation;

Tensor read_floats(const std::string& path, Run& run) {
  const auto array = io::read_array(path);
  run.input(path, array);
  const Tensor values = io::to_tensor(array);
  if (values.is_complex()) return values.to(torch::kComplexDouble);
  if (!values.is_floating_point())
    run.warn("integers", path + ": integers were converted to float64");
  return values.to(torch::kFloat64);
}

Generator generator_of(const std::string& method) {
  if (method == "ginibre") return Generator::ginibre;
  if (method == "path") return Generator::path;
  if (method == "none" || method == "s4d") return Generator::none;
  return Generator::optimised;
}

sequence::PerturbationOptions options_of(const PerturbationSettings& settings,
                                         const std::string& method, const Run& run) {
  sequence::PerturbationOptions options;
  options.generator = generator_of(method);
  options.rho = settings.rho;
  options.abscissa = settings.abscissa;
  options.penalty = settings.penalty;
  options.conditioning = settings.conditioning == "frobenius" ? sequence::Conditioning::frobenius
                                                              : sequence::Conditioning::two_norm;
  options.steps = settings.steps;
  options.restarts = settings.restarts;
  options.learning_rate = settings.learning_rate;
  options.real = !settings.complex;
  options.seed = run.common.seed;
  return options;
}

void check_out(const Run& run) {
  const std::string& out = run.common.out;
  if (out.empty()) return;
  io::check_array_target(out, run.common.force);
  if (out == "-" || out.ends_with(".csv") || out.ends_with(".npy") || out.ends_with(".png"))
    throw UsageError("--out", "a format that holds several arrays (.npz, .h5, .mat)", out);
}

void write(const Perturbation& made, const Run& run) {
  if (run.common.out.empty()) return;
  io::write_arrays(run.common.out,
                   {io::to_array("E", made.E), io::to_array("eigenvalues", made.eigenvalues),
                    io::to_array("W", made.W.resolve_conj().contiguous()),
                    io::to_array("W_inv", made.W_inv.resolve_conj().contiguous())},
                   {.force = run.common.force});
}

void report(const Perturbation& made, int64_t n, const std::string& method, Run& run) {
  Json& json = run.json();
  json["method"] = method;
  run.value("states", n);
  run.value("kappa", made.kappa, "condition number of W");
  run.value("rho", made.rho, "||E|| / ||A||, reached");
  run.value("max_real", made.max_real, "the largest real part of an eigenvalue");
  run.value("residual", made.residual, "||W diag(m) W^-1 - A - E|| / ||A||");
  const double accuracy = made.kappa * std::numeric_limits<double>::epsilon();
  run.value("accuracy", accuracy, "kappa eps: what the diagonal basis costs in double");
  json["norm"] = made.norm;
  json["jitters"] = made.jitters;
  Json starts = Json::array();
  for (const auto& start : made.starts) {
    Json row = {{"loss", start.loss}, {"kappa", start.kappa}, {"max_real", start.max_real}};
    if (made.sup_error) row["sup_error"] = start.sup_error;
    starts.push_back(row);
  }
  json["starts"] = starts;
  json["chosen"] = made.starts.empty() ? Json() : Json(made.chosen);
}

std::string unstable_text(double max_real) {
  return "perturbation: expected a stable system, found unstable eigenvalues, max Re m = " +
         short_text(max_real) +
         ": take a larger --rho, more --steps or --restarts, or --method optimised";
}

}  // namespace

void SequenceInit::run(Run& run) const {
  check_out(run);
  Perturbation made;
  if (method.starts_with("file:")) {
    const Tensor E = read_floats(method.substr(5), run);
    if (E.dim() != 2 || E.size(0) != states || E.size(1) != states)
      throw DataError("E", "a matrix of --states " + std::to_string(states) + " rows and columns",
                      "one of other size", method.substr(5));
    made = sequence::perturb_hippo_with(E);
  } else {
    auto options = options_of(settings, method, run);
    options.b_scale = b_scale;
    Progress progress(run.shows_progress());
    // Called from several threads: only the one that came first may draw.
    std::atomic_flag drawing = ATOMIC_FLAG_INIT;
    options.progress = [&](int64_t done, int64_t total) {
      if (drawing.test_and_set()) return;
      progress.update("steps", done, total);
      drawing.clear();
    };
    bool found = false;
    made = no_cache ? sequence::perturb_hippo(states, options)
                    : sequence::cached_hippo(states, options, &found);
    progress.clear();
    run.json()["from_cache"] = found;
  }
  report(made, states, method, run);
  run.value("sup_error", *made.sup_error, "of the transfer function; unit B, worst unit C");
  run.json()["sup_omega"] = *made.sup_omega;
  const double fastest = torch::imag(made.eigenvalues).abs().max().item<double>();
  run.value("max_frequency", fastest, "max |Im m|: aliased where dt times it exceeds pi");
  write(made, run);
  if (made.max_real < 0) return;
  // A random draw is what was asked for, stable or not; anything else was to be a system.
  if (method == "ginibre")
    run.warn("unstable", unstable_text(made.max_real));
  else
    run.not_converged(unstable_text(made.max_real));
}

void SequenceDiagonalise::run(Run& run) const {
  check_out(run);
  const Tensor A = read_floats(matrix, run);
  Perturbation made;
  if (method.starts_with("file:")) {
    made = sequence::diagonalize_with(A, read_floats(method.substr(5), run));
  } else {
    auto options = options_of(settings, method, run);
    if (stable && !options.abscissa) {
      const double own = torch::real(sequence::eigensystem(A).eigenvalues).max().item<double>();
      options.abscissa = std::min(0.0, own);
    }
    Progress progress(run.shows_progress());
    std::atomic_flag drawing = ATOMIC_FLAG_INIT;
    options.progress = [&](int64_t done, int64_t total) {
      if (drawing.test_and_set()) return;
      progress.update("steps", done, total);
      drawing.clear();
    };
    made = sequence::ptd_diagonalize(A, options);
    progress.clear();
    if (options.abscissa) run.json()["abscissa"] = *options.abscissa;
  }
  report(made, A.size(0), method, run);
  write(made, run);
  if (stable && made.max_real >= 0) run.not_converged(unstable_text(made.max_real));
}

namespace {

struct Curves {
  std::vector<std::string> names;
  std::vector<Tensor> values;  // complex [F], or real [L]
};

Perturbation load_init(const std::string& path, Run& run) {
  for (const auto& array : io::read_arrays(path))
    if (array.name == "E") {
      run.input(path, array);
      const Tensor E = io::to_tensor(array);
      if (E.dim() != 2 || E.size(0) != E.size(1) || E.size(0) < 1)
        throw DataError("E", "a square matrix", io::describe(array), path);
      return sequence::perturb_hippo_with(
          E.to(E.is_complex() ? torch::kComplexDouble : torch::kFloat64));
    }
  throw DataError("init", "an array E, as `ritz sequence init` writes it", "none", path);
}

Tensor impulse_of(const sequence::DiagonalSystem& system, const Tensor& C, double dt, int64_t L,
                  sequence::Discretisation kind) {
  const auto sampled =
      sequence::discretise(system.eigenvalues, torch::tensor(dt, torch::kFloat64), kind);
  const Tensor c =
      system.weights * C.to(torch::kComplexDouble).matmul(system.W) * sampled.gain * system.B;
  return sequence::vandermonde_kernel(sampled.log_a.unsqueeze(0), c.unsqueeze(0), L,
                                      torch::kFloat64)[0];
}

std::vector<double> numbers(const Tensor& vector) {
  const Tensor values = vector.to(torch::kFloat64).contiguous();
  return {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()};
}

}  // namespace

void SequenceTransfer::run(Run& run) const {
  if (!run.common.out.empty()) io::check_array_target(run.common.out, run.common.force);
  if (!plot.empty()) run.check_target(plot, "--plot");
  const bool wants_ptd = std::ranges::find(systems, "s4-ptd") != systems.end();
  Perturbation ptd;
  if (!init.empty()) ptd = load_init(init, run);
  Tensor C = c_path.empty() ? Tensor() : read_floats(c_path, run).flatten();
  int64_t n = states;
  if (n == 0 && ptd.E.defined()) n = ptd.E.size(0);
  if (n == 0 && C.defined()) n = C.size(0);
  if (n == 0) n = 32;
  if (ptd.E.defined() && ptd.E.size(0) != n)
    throw DataError("init", std::to_string(n) + " states", std::to_string(ptd.E.size(0)), init);
  if (!C.defined()) C = sequence::hippo_input(n) / static_cast<double>(n);
  if (C.size(0) != n)
    throw DataError("C", std::to_string(n) + " numbers, one a state", std::to_string(C.size(0)),
                    c_path);
  if (wants_ptd && !ptd.E.defined())
    ptd = sequence::cached_hippo(n, {.rho = rho, .seed = run.common.seed});
  if (wants_ptd && ptd.max_real >= 0)
    run.warn("unstable", "s4-ptd: max Re m = " + short_text(ptd.max_real) + ", its kernel grows");
  const auto kind = sequence::parse_discretisation(discretisation);
  const auto full = sequence::Storage::full;
  const auto system_of = [&](const std::string& name) {
    return name == "s4d" ? sequence::diagonal_hippo(n, {.b_scale = b_scale, .storage = full})
                         : sequence::hippo_system(ptd, full);
  };

  Curves curves;
  Json& json = run.json();
  json["states"] = n;
  json["systems"] = systems;
  if (impulse > 0) {
    if (C.is_complex())
      throw DataError("C", "real numbers, for an impulse response", "complex ones", c_path);
    double fastest = 0;
    for (const auto& name : systems) {
      if (name == "s4") {
        curves.values.push_back(sequence::dense_impulse(
            sequence::hippo_matrix(n), sequence::hippo_input(n), C, dt, impulse, kind));
      } else {
        const auto system = system_of(name);
        fastest =
            std::max(fastest, dt * torch::imag(system.eigenvalues).abs().max().item<double>());
        curves.values.push_back(impulse_of(system, C, dt, impulse, kind));
      }
      curves.names.push_back(name);
    }
    json["discretisation"] = discretisation;
    json["dt"] = dt;
    run.value("steps", impulse);
    if (fastest > 0) run.value("max_phase", fastest, "dt max |Im m|");
    if (fastest > M_PI)
      run.warn("aliased", "dt max |Im m| = " + short_text(fastest) +
                              " exceeds pi: the fastest states are heard at other frequencies");
  } else {
    const Tensor omega =
        !frequencies.empty()
            ? read_floats(frequencies, run).flatten()
            : sequence::resonance_grid(n, ptd.eigenvalues.defined()
                                              ? ptd.eigenvalues
                                              : sequence::hippo_normal_part(n).eigenvalues);
    if (omega.is_complex() || !omega.isfinite().all().item<bool>())
      throw DataError("frequencies", "finite real numbers", "others", frequencies);
    const Tensor s = torch::complex(torch::zeros_like(omega), omega);
    const Tensor exact = sequence::hippo_transfer(C, s);
    curves.names.push_back("omega");
    curves.values.push_back(omega);
    Json errors = Json::object(), gains = Json::object();
    std::vector<std::vector<std::string>> rows;
    for (const auto& name : systems) {
      const Tensor G = name == "s4" ? exact : sequence::diagonal_transfer(system_of(name), C, s);
      curves.names.push_back(name);
      curves.values.push_back(G);
      const Tensor apart = (G - exact).abs();
      errors[name] = omega.numel() > 0 ? Json(apart.max().item<double>()) : Json();
      if (omega.numel() == 0) continue;
      gains[name] = G.abs().max().item<double>();
      rows.push_back({name, short_text(gains[name]), short_text(errors[name])});
    }
    run.value("frequencies", omega.numel());
    run.table({"system", "largest |G|", "largest error"}, rows);
    json["max_gain"] = gains;
    json["max_error"] = errors;  // |G - G_s4|
  }

  if (!run.common.out.empty()) {
    std::vector<io::Array> arrays;
    for (size_t i = 0; i < curves.names.size(); ++i)
      arrays.push_back(io::to_array(curves.names[i], curves.values[i].resolve_conj().contiguous()));
    io::write_arrays(run.common.out, arrays, {.force = run.common.force});
  }
  if (!plot.empty()) {
    io::Figure figure;
    const bool frequency = impulse == 0;
    figure.title = frequency ? "Transfer functions" : "Impulse responses";
    figure.x = {.label = frequency ? "angular frequency" : "time", .log = frequency};
    figure.y = {.label = frequency ? "|G|" : "K / dt", .log = frequency};
    const std::vector<double> x = frequency ? numbers(curves.values[0])
                                            : numbers(torch::arange(impulse, torch::kFloat64) * dt);
    for (size_t i = frequency ? 1 : 0; i < curves.names.size(); ++i)
      figure.curves.push_back(
          {.label = curves.names[i],
           .x = x,
           .y = numbers(frequency ? curves.values[i].abs() : curves.values[i] / dt)});
    io::write_figure(plot, figure, run.common.force);
  }
}

}  // namespace ritz::app
