#include "apps/ritz/commands/spectrum.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "apps/ritz/commands/learning_task.h"
#include "apps/ritz/commands/matrix_operator.h"
#include "apps/ritz/frame/run.h"
#include "ritz/base/check.h"
#include "ritz/base/random.h"
#include "ritz/io/array_file.h"
#include "ritz/io/plot.h"
#include "ritz/io/tensor.h"
#include "ritz/krylov/density.h"
#include "ritz/krylov/extreme_eigenpairs.h"
#include "ritz/nn/curvature.h"
#include "ritz/sketch/diagonal.h"

namespace ritz::app {
namespace {

BasisStore parse_store(const std::string& name) {
  if (name == "bfloat16") return BasisStore::bfloat16;
  if (name == "float16") return BasisStore::float16;
  return name == "none" ? BasisStore::none : BasisStore::full;
}

LinearOperatorPtr load_curvature_operator(const Spectrum& options, Run& run) {
  auto task = load_learning_task(options.task, run);
  const nn::Objective all{task.network, task.loss, task.data.inputs, task.data.targets};
  const nn::CurvatureOptions curvature{.micro_batch = options.micro_batch};
  const int64_t samples = all.inputs.size(0);
  if (options.batch > samples) {
    throw InvalidArgument("--batch",
                          "at most the " + std::to_string(samples) + " samples there are",
                          std::to_string(options.batch));
  }
  Tensor rows;
  if (options.batch > 0) {
    rows =
        RandomStream(run.common.seed, stream_id("spectrum/batch")).sample(samples, options.batch);
  }
  if (options.kind == "noise") return nn::hessian_noise(all, rows, curvature);
  const auto objective = rows.defined() ? nn::subset(all, rows) : all;
  std::shared_ptr<SymmetricOperator> op;
  if (options.kind == "ggn") {
    op = nn::ggn(objective, curvature);
  } else if (options.kind == "fisher") {
    op = nn::fisher(objective, curvature);
  } else if (options.kind == "gradient-covariance") {
    op = nn::gradient_covariance(objective, curvature);
  } else {
    op = nn::hessian(objective, curvature);
  }
  nn::check_symmetric(*op, run.common.seed);
  return op;
}

/// The node furthest out on one side, over all probes, with its residual bound.
struct End {
  double value = 0;
  double residual = 0;
};
End end_of(const SpectralQuadrature& q, bool top) {
  End end{top ? q.probes[0].nodes.back() : q.probes[0].nodes.front(), 0};
  bool found = false;
  for (const auto& probe : q.probes) {
    const size_t k = top ? probe.nodes.size() - 1 : 0;
    const bool further = top ? probe.nodes[k] > end.value : probe.nodes[k] < end.value;
    if (!found || further) end = {probe.nodes[k], probe.residual_bounds[k]};
    found = true;
  }
  return end;
}

Json standard_error(const Estimate& estimate) {
  return estimate.standard_error ? Json(*estimate.standard_error) : Json();
}

void report_estimate(Run& run, std::string_view name, const Estimate& estimate) {
  run.value(name, estimate.value,
            estimate.standard_error ? "+- " + short_text(*estimate.standard_error) : "");
  run.json()[std::string(name) + "_se"] = standard_error(estimate);
}

void report_quadrature(Run& run, const SpectralQuadrature& q, bool with_moments) {
  const auto top = end_of(q, true), bottom = end_of(q, false);
  run.value("parameters", q.dimension);
  run.value("lambda_max", top.value, "residual <= " + short_text(top.residual));
  run.value("lambda_min", bottom.value, "residual <= " + short_text(bottom.residual));
  run.json()["residual_max"] = top.residual;
  run.json()["residual_min"] = bottom.residual;
  if (with_moments) {
    report_estimate(run, "trace", trace(q));
    report_estimate(run, "frobenius", frobenius_norm(q));
  }
  if (const auto value = log_det(q)) {
    report_estimate(run, "log_det", *value);
  } else {
    run.json()["log_det"] = nullptr;
    run.json()["log_det_se"] = nullptr;
  }
  Json nodes = Json::array(), weights = Json::array();
  for (const auto& probe : q.probes) {
    nodes.push_back(probe.nodes);
    weights.push_back(probe.weights);
  }
  run.json()["nodes"] = std::move(nodes);
  run.json()["weights"] = std::move(weights);
}

void report_diagonal(const Spectrum& options, Run& run, const LinearOperator& op) {
  const auto d = estimate_diagonal(op, {.samples = options.samples,
                                        .tolerance = options.trace_tolerance,
                                        .exact = options.exact,
                                        .seed = run.common.seed});
  const bool known = d.exact || d.samples > 1;
  report_estimate(run, "trace", {d.trace, known ? std::optional(d.trace_se) : std::nullopt});
  report_estimate(run, "frobenius",
                  {d.frobenius, known ? std::optional(d.frobenius_se) : std::nullopt});
  run.value("samples", d.samples, d.exact ? "products with unit vectors" : "probes");
  const Tensor errors = d.diagonal_se.to(at::kDouble).contiguous();
  const double* first = errors.const_data_ptr<double>();
  run.json()["diagonal_se"] =
      known ? Json(std::vector<double>(first, first + errors.numel())) : Json();
  if (run.common.out.empty()) return;
  std::vector<io::Array> arrays{io::to_array("diagonal", d.diagonal)};
  if (known && !run.common.out.ends_with(".npy")) {
    arrays.push_back(io::to_array("diagonal_se", d.diagonal_se));
  }
  io::write_arrays(run.common.out, arrays, {.force = run.common.force});
}

void draw(const std::string& path, const SpectralQuadrature& q, const SpectralDensity& d,
          bool log_scale, bool force) {
  const double peak = *std::max_element(d.density.begin(), d.density.end());
  io::Figure figure{.title = "Spectral density, " + std::to_string(q.dimension) + " eigenvalues",
                    .x = {.label = log_scale ? "log(|eigenvalue| + 1e-5)" : "eigenvalue"},
                    // Six decades show an outlier's weight of one in a million.
                    .y = {.label = "density; weight of a node", .log = true, .min = peak * 1e-7},
                    .curves = {{.label = "density", .x = d.t, .y = d.density}}};
  if (!log_scale) {
    const auto stems = spectral_stems(q);
    figure.curves.push_back({.label = "nodes and weights",
                             .x = stems.theta,
                             .y = stems.weight,
                             .style = io::Style::stems});
  }
  io::write_figure(path, figure, force);
}

void report_top(const Spectrum& options, Run& run, const LinearOperator& op) {
  const auto ends =
      extreme_eigenpairs(op, {.largest = options.top,
                              .tolerance = options.tolerance,
                              .max_products = std::max<int64_t>(1000, 10 * options.steps),
                              .seed = run.common.seed,
                              .true_residuals = true});
  std::vector<std::vector<std::string>> rows;
  std::vector<double> values;
  for (int64_t i = 0; i < options.top; ++i) {
    values.push_back(ends.largest.values[i].item<double>());
    rows.push_back({std::to_string(i), short_text(values.back()),
                    short_text(ends.largest.residuals[static_cast<size_t>(i)])});
  }
  run.json()["eigenvalues"] = values;
  run.json()["residuals"] = ends.largest.residuals;
  run.table({"k", "eigenvalue", "residual"}, rows);
  if (!options.vectors.empty()) {
    io::write_arrays(options.vectors, {io::to_array("vectors", ends.largest.vectors)},
                     {.force = run.common.force});
  }
  if (!ends.all_converged) {
    run.not_converged("--top: residuals above tolerance after " + std::to_string(ends.products) +
                      " products");
  }
}

}  // namespace

void Spectrum::run(Run& run) const {
  if (!diagonal && !run.common.out.empty() && !run.common.out.ends_with(".npz")) {
    throw UsageError("--out", "a name that ends in .npz", run.common.out);
  }
  for (const auto& target : {run.common.out, density, vectors}) {
    if (!target.empty()) io::check_array_target(target, run.common.force);
  }
  if (!plot.empty()) run.check_target(plot, "--plot");

  const auto op =
      matrix.empty() ? load_curvature_operator(*this, run) : load_matrix_operator(matrix, run);
  if (exact && op->rows() > kExactDiagonalLimit) {
    throw InvalidArgument("--exact", "an order of at most " + std::to_string(kExactDiagonalLimit),
                          std::to_string(op->rows()));
  }
  if (top > op->rows()) {
    throw InvalidArgument("--top", "at most " + std::to_string(op->rows()), std::to_string(top));
  }
  const auto q = spectral_quadrature(
      *op, {.steps = steps,
            .probes = probes,
            .block = block,
            .seed = run.common.seed,
            .start = start == "rademacher" ? StartVector::rademacher : StartVector::gaussian,
            .store = parse_store(store)});
  if (q.may_have_ghosts) {
    run.warn("ghosts",
             "without stored vectors converged eigenvalues appear more than once: read the "
             "density, not single nodes");
  }
  report_quadrature(run, q, !diagonal);  // the diagonal's probes know them better
  if (!density.empty() || !plot.empty()) {
    const auto curve =
        spectral_density(q, {.points = points, .kappa = kappa, .log_scale = log_scale});
    if (!density.empty()) {
      io::write_arrays(density,
                       {io::to_array("t", torch::tensor(curve.t, torch::kFloat64)),
                        io::to_array("density", torch::tensor(curve.density, torch::kFloat64))},
                       {.force = run.common.force});
    }
    if (!plot.empty()) draw(plot, q, curve, log_scale, run.common.force);
  }
  if (diagonal) {
    report_diagonal(*this, run, *op);
  } else if (!run.common.out.empty()) {
    write_curvature_suite(run.common.out, q, run.common.force);
  }
  if (top > 0) report_top(*this, run, *op);
}

}  // namespace ritz::app
