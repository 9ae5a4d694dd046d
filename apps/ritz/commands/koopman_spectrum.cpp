#include "apps/ritz/commands/koopman_spectrum.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <numbers>
#include <ostream>

#include "apps/ritz/commands/koopman_checkpoint.h"
#include "apps/ritz/commands/koopman_data.h"
#include "apps/ritz/commands/koopman_json.h"
#include "apps/ritz/frame/run.h"
#include "ritz/base/check.h"
#include "ritz/base/progress.h"
#include "ritz/io/array_file.h"
#include "ritz/io/plot.h"
#include "ritz/io/tensor.h"
#include "ritz/koopman/certified_spectrum.h"
#include "ritz/koopman/holdout.h"
#include "ritz/koopman/kernel_edmd.h"

namespace ritz::app {
namespace {

using namespace koopman;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kRowsShown = 20;
constexpr int64_t kFewBlocks = 8;

/// Data, dictionary and what was fitted; a kernel method has no reduction.
struct Fit {
  Snapshots train, holdout;
  DictionaryPtr functions;
  Tensor kept;  // of the dictionary, for the vectors of `pairs`
  Eigenpairs pairs;
  std::optional<Reduction> reduction;
  std::optional<KernelEdmd> kernel;
  bool held_out() const { return holdout.pairs() > 0; }
};

struct Row {
  c10::complex<double> value;
  double residual = kNaN, holdout = kNaN, upper = kNaN;
  bool verified = false;
};

double at(const Tensor& x, int64_t k) {
  return x[k].item<double>();
}

[[noreturn]] void refuse_empty_residuals(int64_t functions, int64_t pairs) {
  throw InvalidArgument(
      "--size",
      "fewer functions than the " + std::to_string(pairs) +
          " pairs, or --holdout above 0: with as many, every residual on the same data is 0 "
          "whatever the dynamics, and says nothing",
      std::to_string(functions) + " functions");
}

Fit fit_kernel(const KoopmanSpectrum& command, Fit fit) {
  const std::string name =
      command.data.dictionary.empty() ? "kernel:gaussian" : command.data.dictionary;
  const Kernel kernel = make_kernel(parse_kernel(name.substr(7)), fit.train.x(),
                                    command.data.kernel_scale, command.data.degree);
  const KernelEdmd result = kernel_edmd(kernel, fit.train, {.size = command.data.size});
  const AdjointModes modes = adjoint_modes(result.K, result.L);
  fit.functions = result.functions();
  fit.kept = torch::arange(result.rank());
  fit.pairs = {modes.values, modes.right, modes.residuals};
  fit.kernel = result;
  return fit;
}

Fit fit_functions(const KoopmanSpectrum& command, Fit fit, const Lift& lift,
                  dist::ProcessGroup& group) {
  fit.functions = lift.functions;
  if (!fit.held_out() && lift.size() >= fit.train.pairs()) {
    refuse_empty_residuals(lift.size(), fit.train.pairs());
  }
  ReductionOptions how{.rank_tolerance = command.rank_tolerance, .group = &group};
  if (command.normal_equations) how.route = ReductionOptions::Route::gram;
  fit.reduction = reduce(*fit.functions, fit.train, how);
  fit.kept = fit.reduction->kept;
  fit.pairs = command.method == "mpedmd" ? mpedmd(*fit.reduction) : edmd(*fit.reduction);
  return fit;
}

Fit load_and_fit(const KoopmanSpectrum& command, Run& run, dist::ProcessGroup& group) {
  const Split parts = split(load_snapshots(command.data, run), command.data.holdout);
  Fit fit{parts.train, parts.holdout, {}, {}, {}, {}, {}};
  if (command.method == "kernel") return fit_kernel(command, std::move(fit));
  KoopmanDataOptions data = command.data;
  if (command.method == "dmd" && data.dictionary != "delay") data.dictionary = "pod";
  const Lift lift = load_lift(data, fit.train, run);
  fit.train = lift.prepare(fit.train);
  if (fit.held_out()) fit.holdout = lift.prepare(fit.holdout);
  return fit_functions(command, std::move(fit), lift, group);
}

std::vector<Row> make_rows(const KoopmanSpectrum& command, const Fit& fit, Run& run,
                           dist::ProcessGroup& group) {
  const int64_t k = fit.pairs.values.size(0);
  std::vector<Row> rows(static_cast<size_t>(k));
  const bool empty = fit.reduction && fit.reduction->residuals_are_empty();
  HoldoutResiduals held;
  if (fit.held_out()) {
    held = holdout_residuals(
        *fit.functions, fit.kept, fit.holdout, fit.pairs.values, fit.pairs.vectors,
        {.replicas = command.replicas, .seed = run.common.seed, .group = &group});
    if (held.blocks < kFewBlocks) {
      run.warn("few_blocks", "the bootstrap has only " + std::to_string(held.blocks) +
                                 " blocks of held-out pairs: its upper values are rough");
    }
  }
  const Tensor values = (fit.pairs.values.cpu() + 0).contiguous();  // no -0 of a conjugate
  for (int64_t j = 0; j < k; ++j) {
    Row& row = rows[static_cast<size_t>(j)];
    row.value = values.data_ptr<c10::complex<double>>()[j];
    if (!empty) row.residual = at(fit.pairs.residuals, j);
    if (!fit.held_out()) continue;
    row.holdout = at(held.residuals, j);
    row.upper = at(held.upper, j);
    row.verified = command.method != "kernel" && row.upper <= command.tolerance;
  }
  if (command.method == "resdmd") {
    std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
      return empty ? a.holdout < b.holdout : a.residual < b.residual;
    });
  }
  return rows;
}

void print_rows(const std::vector<Row>& rows, double dt, Run& run) {
  Json list = Json::array();
  std::vector<std::vector<std::string>> table;
  const auto text = [](double x) { return std::isfinite(x) ? short_text(x) : std::string("-"); };
  for (const Row& row : rows) {
    const double modulus = std::hypot(row.value.real(), row.value.imag());
    const double growth = modulus > 0 ? std::log(modulus) / dt : kNaN;
    const double frequency = std::atan2(row.value.imag(), row.value.real()) / dt;
    list.push_back({{"re", row.value.real()},
                    {"im", row.value.imag()},
                    {"residual", row.residual},
                    {"residual_holdout", row.holdout},
                    {"residual_upper", row.upper},
                    {"verified", row.verified},
                    {"modulus", modulus},
                    {"growth_rate", growth},
                    {"angular_frequency", frequency}});
    if (table.size() < kRowsShown) {
      table.push_back({text(row.value.real()), text(row.value.imag()), text(modulus),
                       text(frequency), text(row.residual), text(row.holdout), text(row.upper),
                       row.verified ? "verified" : "-"});
    }
  }
  run.json()["eigenvalues"] = std::move(list);
  run.table({"re", "im", "modulus", "frequency", "residual", "held out", "upper", ""}, table);
  if (rows.size() > table.size()) {
    run.text() << "... " << rows.size() - table.size() << " more in --json\n";
  }
}

Grid make_grid(const KoopmanSpectrum& command, const std::vector<Row>& rows) {
  double reach = 1;
  if (!command.measure_preserving) {
    for (const Row& row : rows) {
      reach = std::max(reach, std::hypot(row.value.real(), row.value.imag()));
    }
  }
  reach *= 1.2;
  Grid grid{.x0 = -reach, .x1 = reach, .y0 = -reach, .y1 = reach};
  if (!command.region.empty()) {
    grid = {command.region[0], command.region[1], command.region[2], command.region[3]};
  }
  const double width = std::max(grid.x1 - grid.x0, grid.y1 - grid.y0);
  grid.spacing = command.spacing > 0 ? command.spacing : width > 0 ? width / 48 : 1;
  return grid;
}

/// Does what is looked for reach the grid's border, so that more may lie outside?
bool touches_border(const GridPoints& points, const Tensor& distance, double spacing, bool real) {
  const Tensor all = distance.view({points.nx, points.ny});
  std::vector<Tensor> sides{all[0], all[-1], all.select(1, points.ny - 1)};
  // The real axis is no border for real data: below it everything is repeated.
  const bool axis = real && at::imag(points.points)[0].item<double>() == 0;
  if (!axis) sides.push_back(all.select(1, 0));
  return (torch::cat(sides) < spacing).any().item<bool>();
}

/// What held-out data say of the certificate: the upper value of every point's residual.
Tensor upper_distances(const Fit& fit, const CertifiedSpectrum& result, uint64_t seed,
                       int64_t replicas, dist::ProcessGroup& group) {
  const auto held = holdout_residuals(*fit.functions, fit.kept, fit.holdout, result.points,
                                      fit.reduction->coefficients(result.vectors),
                                      {.replicas = replicas, .seed = seed, .group = &group});
  return isometry_distance(result.points, held.upper);
}

void print_spectrum(const KoopmanSpectrum& command, const Fit& fit, const CertifiedSpectrum& result,
                    Run& run, dist::ProcessGroup& group) {
  Json& json = run.json();
  json["certificate_upper"] = nullptr;
  if (result.violated) {
    json["spectrum"] = json["certificate"] = nullptr;
    return;
  }
  Tensor upper;
  if (fit.held_out() && result.points.size(0) > 0) {
    upper = upper_distances(fit, result, run.common.seed, command.replicas, group);
  }
  Json list = Json::array();
  const Tensor parts = at::view_as_real(result.points.contiguous());
  for (int64_t k = 0; k < result.points.size(0); ++k) {
    list.push_back({{"re", at(parts[k], 0)},
                    {"im", at(parts[k], 1)},
                    {"distance", at(result.distances, k)},
                    {"distance_upper", upper.defined() ? Json(at(upper, k)) : Json()}});
  }
  json["spectrum"] = std::move(list);
  run.value("certificate", result.certificate,
            "every one of " + std::to_string(result.points.size(0)) +
                " points is that near to the spectrum");
  if (upper.defined()) {
    run.value("certificate_upper", upper.max().item<double>(), "the same on held-out pairs, 95 %");
  }
}

void draw(const std::string& path, const std::vector<Row>& rows, const CertifiedSpectrum& spectrum,
          bool force) {
  using io::Style;
  io::Figure figure{.title = "Koopman spectrum",
                    .x = {.label = "Re"},
                    .y = {.label = "Im"},
                    .curves = {{.style = Style::guide}}};
  for (int k = 0; k <= 200; ++k) {
    figure.curves[0].x.push_back(std::cos(k * std::numbers::pi / 100));
    figure.curves[0].y.push_back(std::sin(k * std::numbers::pi / 100));
  }
  io::Curve verified{.label = "verified", .style = Style::points, .colour = 0};
  io::Curve others{.label = "not verified", .style = Style::points, .colour = 1};
  for (const Row& row : rows) {
    io::Curve& curve = row.verified ? verified : others;
    curve.x.push_back(row.value.real());
    curve.y.push_back(row.value.imag());
  }
  for (auto* curve : {&others, &verified}) {
    if (!curve->x.empty()) figure.curves.push_back(*curve);
  }
  if (spectrum.points.defined()) {
    io::Curve set{.label = "spectrum with certificate", .style = Style::points, .colour = 2};
    const Tensor parts = at::view_as_real(spectrum.points.contiguous());
    for (int64_t k = 0; k < parts.size(0); ++k) {
      set.x.push_back(at(parts[k], 0));
      set.y.push_back(at(parts[k], 1));
    }
    if (!set.x.empty()) figure.curves.push_back(set);
  }
  io::write_figure(path, figure, force);
}

}  // namespace

void KoopmanSpectrum::run(Run& run) const {
  if (!checkpoint.empty()) {
    CheckpointSpectrum request{.checkpoint = checkpoint,
                               .frames = {},
                               .modes = modes,
                               .plot = plot,
                               .dt = data.dt,
                               .holdout = data.holdout,
                               .tolerance = tolerance,
                               .replicas = replicas};
    if (!data.files.empty()) request.frames = data.files[0];
    return spectrum_of_checkpoint(request, run);
  }
  if (!run.common.out.empty()) io::check_array_target(run.common.out, run.common.force);
  if (!modes.empty()) run.check_target(modes, "--modes");
  if (!plot.empty()) run.check_target(plot, "--plot");
  const bool sweeps = measure_preserving || !run.common.out.empty();
  if (method == "kernel" && sweeps) {
    throw UsageError("--out", "a method other than kernel (resdmd --dictionary kernel:KIND)",
                     "kernel, whose residual is the adjoint's");
  }
  const dist::Ranks ranks = dist::discover_ranks();
  if (ranks.rank != 0) run.be_silent();
  dist::ProcessGroup group(ranks);
  Progress progress(run.shows_progress());

  const Fit fit = load_and_fit(*this, run, group);
  const bool empty = fit.reduction && fit.reduction->residuals_are_empty();
  if (sweeps && empty) refuse_empty_residuals(fit.reduction->rank(), fit.train.pairs());
  const std::vector<Row> rows = make_rows(*this, fit, run, group);
  print_rows(rows, data.dt, run);
  run.value("pairs", fit.train.pairs());
  run.value("pairs_holdout", fit.holdout.pairs());
  run.value("functions", fit.reduction ? fit.reduction->functions : fit.kept.size(0));
  run.value("rank", fit.kept.size(0));
  if (fit.reduction && fit.reduction->rank() < fit.reduction->functions) {
    run.warn("rank_deficient", "of " + std::to_string(fit.reduction->functions) + " functions " +
                                   std::to_string(fit.reduction->rank()) +
                                   " are independent on the data; the others were dropped");
  }
  if (empty) {
    run.warn(
        "no_training_residual",
        "as many independent functions as pairs: residuals on the training data are 0 whatever "
        "the dynamics, and are not given");
  }
  if (normal_equations) {
    run.warn("residual_floor", "with --normal-equations residuals below 1e-8 are rounding");
  }
  if (method == "kernel") {
    run.warn("adjoint_residual",
             "the kernel method's residuals are the adjoint's: nothing is called verified");
  }
  if (data.holdout == 0) {
    run.warn("no_holdout", "no pairs are held out, so nothing is verified");
  }

  Evidence evidence{.measure_preserving = measure_preserving,
                    .held_out = fit.held_out(),
                    .adjoint = method == "kernel"};
  run.json()["isometry_defect"] = nullptr;
  if (fit.reduction && !empty) {
    const double defect = isometry_defect(*fit.reduction);
    const double threshold = isometry_threshold(*fit.reduction);
    evidence.defect_within = defect <= threshold;
    run.value("isometry_defect", defect,
              "0 where the measure is preserved; within " + short_text(threshold) + " by sampling");
    if (!evidence.defect_within && (measure_preserving || method == "mpedmd")) {
      run.warn("not_measure_preserving",
               "the isometry defect " + short_text(defect) + " is above 3 sqrt(N/M) = " +
                   short_text(threshold) + ": the map does not preserve the measure of the data" +
                   (measure_preserving ? ", and the spectrum has no certificate" : ""));
    }
  }

  CertifiedSpectrum spectrum;
  if (sweeps) {
    const Grid grid = make_grid(*this, rows);
    const GridPoints points = grid_points(grid);
    SweepOptions how{.vectors = evidence.defect_within && measure_preserving,
                     .seed = run.common.seed,
                     .group = &group};
    how.progress = [&](int64_t done, int64_t total) {
      progress.update("pseudospectrum", done, total);
    };
    const Sweep sweep = pseudospectrum(*fit.reduction, points.points, how);
    progress.clear();
    Tensor distance = torch::full_like(sweep.tau, kNaN);
    if (measure_preserving) {
      spectrum = certified_spectrum(*fit.reduction, grid, sweep);
      print_spectrum(*this, fit, spectrum, run, group);
      if (!spectrum.violated) distance = isometry_distance(points.points, sweep.tau);
    }
    const bool real = !fit.reduction->A.is_complex();
    if (touches_border(points, sweep.tau, grid.spacing, real)) {
      run.warn("grid_border",
               "the pseudospectrum reaches the border of --region: more may lie "
               "outside");
    }
    if (!run.common.out.empty() && ranks.rank == 0) {
      io::write_arrays(run.common.out,
                       {io::to_array("re", at::real(points.points).contiguous()),
                        io::to_array("im", at::imag(points.points).contiguous()),
                        io::to_array("tau", sweep.tau), io::to_array("distance", distance)},
                       {.force = run.common.force});
    }
  }
  const Tower tower = tower_of(measure_preserving ? Task::spectrum
                               : sweeps           ? Task::pseudospectrum
                                                  : Task::eigenpairs,
                               evidence);
  run.json()["tower"] = tower_json(tower);
  run.text() << (tower.certified ? "certified under: " : "not certified: ") << tower.assumption
             << '\n';
  if (ranks.rank != 0) return;
  if (!modes.empty()) {
    const Tensor shapes = fit.kernel
                              ? kernel_modes(*fit.kernel, fit.pairs.vectors)
                              : koopman_modes(*fit.functions, fit.train, *fit.reduction, fit.pairs);
    io::write_arrays(
        modes,
        {io::to_array("eigenvalues", fit.pairs.values), io::to_array("modes", shapes),
         io::to_array("coefficients", fit.pairs.vectors), io::to_array("kept", fit.kept)},
        {.force = run.common.force});
  }
  if (!plot.empty()) draw(plot, rows, spectrum, run.common.force);
}

}  // namespace ritz::app
