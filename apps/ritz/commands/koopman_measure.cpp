#include "apps/ritz/commands/koopman_measure.h"

#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numbers>

#include "apps/ritz/commands/koopman_json.h"
#include "apps/ritz/commands/koopman_observable.h"
#include "ritz/base/error.h"
#include "ritz/io/array_file.h"
#include "ritz/io/plot.h"
#include "ritz/io/tensor.h"
#include "ritz/koopman/edmd.h"
#include "ritz/koopman/observable.h"
#include "ritz/koopman/spectral_measure.h"

namespace ritz::app {
namespace {

struct Atom {
  double theta = 0, mass = 0;
};

std::vector<double> numbers(const Tensor& values) {
  const Tensor plain = values.to(torch::kCPU, torch::kFloat64).contiguous();
  return {plain.const_data_ptr<double>(), plain.const_data_ptr<double>() + plain.numel()};
}

std::vector<Atom> largest_first(std::vector<Atom> atoms, int64_t count) {
  const auto kept = std::min(atoms.size(), static_cast<size_t>(count));
  std::partial_sort(atoms.begin(), atoms.begin() + static_cast<std::ptrdiff_t>(kept), atoms.end(),
                    [](const Atom& a, const Atom& b) { return a.mass > b.mass; });
  atoms.resize(kept);
  return atoms;
}

// Local maxima of the Fejer mass on a grid finer than its width pi / N.
std::vector<Atom> atoms_of_moments(const Tensor& a, int64_t count) {
  const Tensor theta = koopman::circle_grid(8 * a.size(0));
  const auto at = numbers(theta), mass = numbers(koopman::point_masses(a, theta));
  std::vector<Atom> peaks;
  const size_t n = at.size();
  for (size_t k = 0; k < n; ++k)
    if (mass[k] > mass[(k + n - 1) % n] && mass[k] >= mass[(k + 1) % n])
      peaks.push_back({at[k], mass[k]});
  return largest_first(peaks, count);
}

// The observable along whole trajectories, [N, T]: what an autocorrelation is taken of.
Tensor along_trajectories(const koopman::Snapshots& all, const Tensor& values) {
  const int64_t N = all.trajectory[-1].item<int64_t>() + 1, S = values.size(0);
  if (!all.consecutive()) throw Unsupported("--method moments needs trajectories, not pairs X, Y");
  if (S % N != 0 || all.pairs() != N * (S / N - 1))
    throw Unsupported("--method moments needs trajectories of one length with no state masked");
  return values.view({N, S / N});
}

}  // namespace

void KoopmanMeasure::run(Run& run) const {
  if (!run.common.out.empty()) io::check_array_target(run.common.out, run.common.force);
  if (!plot.empty()) run.check_target(plot, "--plot");
  const auto kernel = koopman::rational_kernel(kernel_order, koopman::parse_poles(poles));
  const auto all = load_snapshots(data, run);
  Tensor g = load_observable(observable, all, run);
  g = g.to(g.is_complex() ? torch::kComplexDouble : torch::kFloat64);
  if (remove_mean) g = g - g.index_select(0, all.rows.to(g.device())).mean();
  const Tensor theta = koopman::circle_grid(points).to(g.device());

  Tensor density;
  std::vector<Atom> found;
  double norm_squared = 0;
  run.json()["method"] = method;
  if (method == "moments") {
    const Tensor a = koopman::ergodic_moments(along_trajectories(all, g), moments);
    density = koopman::moment_measure(a, koopman::parse_filter(filter), theta);
    norm_squared = torch::real(a[0]).item<double>();
    found = atoms_of_moments(a, atoms);
    Json list = Json::array();
    for (int64_t n = 0; n <= std::min<int64_t>(moments, 10); ++n) {
      const auto value = a[n].item<c10::complex<double>>();
      list.push_back({{"re", value.real()}, {"im", value.imag()}});
    }
    run.json()["moments"] = list;
  } else {
    const auto lift = load_lift(data, all, run);
    const auto prepared = lift.prepare(all);
    const auto reduction = koopman::reduce(*lift.functions, prepared);
    const auto projected = koopman::project(*lift.functions, prepared, reduction,
                                            g.index_select(0, prepared.rows.to(g.device())));
    norm_squared = projected.energy;
    if (method == "mpedmd") {
      const auto eigen = koopman::unitary_eigen(koopman::measure_preserving_matrix(reduction));
      const Tensor weights =
          eigen.vectors.mH().mv(projected.coordinates.to(torch::kComplexDouble)).abs().square();
      density = koopman::smoothed_measure(kernel, epsilon, eigen.angles, weights, theta);
      const auto angle = numbers(eigen.angles), mass = numbers(weights);
      for (size_t k = 0; k < angle.size(); ++k) found.push_back({angle[k], mass[k]});
      found = largest_first(found, atoms);
      // Fewer eigenvalues than the kernel is wide show as peaks of their own.
      const double gap = 2 * std::numbers::pi / static_cast<double>(angle.size());
      if (epsilon < gap)
        run.warn("epsilon", "--epsilon is below the mean gap " + short_text(gap) +
                                " between eigenvalues: the density shows each of them");
    } else {
      density =
          koopman::isometry_measure(kernel, epsilon, reduction.A, projected.coordinates, theta);
    }
    const double defect = koopman::isometry_defect(reduction),
                 threshold = koopman::isometry_threshold(reduction);
    run.value("rank", reduction.rank(), "functions, of " + std::to_string(lift.size()));
    run.value(
        "isometry_defect", defect,
        "||L' - I||; above " + short_text(threshold) + " the data are not measure-preserving");
    run.value("captured", projected.captured(), "of ||g||^2 lies in the dictionary's span");
    if (defect > threshold)
      run.warn("not_measure_preserving",
               "the isometry defect " + short_text(defect) + " is above " + short_text(threshold) +
                   ": this is the measure of a nearest isometry, not of the data's dynamics");
    if (projected.captured() < 0.99)
      run.warn("captured",
               "only " + short_text(100 * projected.captured()) +
                   " % of ||g||^2 lies in the dictionary's span; the rest is not shown");
  }
  run.value("integral", koopman::circle_integral(density), "of the density");
  run.value("norm_squared", norm_squared, "||g||^2");
  run.value("minimum", density.min().item<double>(), "of the density");
  Json list = Json::array();
  for (const auto& [angle, mass] : found) list.push_back({{"theta", angle}, {"mass", mass}});
  run.json()["atoms"] = list;
  run.json()["tower"] = tower_json(koopman::tower_of(koopman::Task::spectral_measure, {}));
  if (!run.common.out.empty()) {
    io::write_arrays(run.common.out,
                     {io::to_array("theta", theta), io::to_array("density", density)},
                     {.force = run.common.force});
  }
  if (!plot.empty()) {
    io::write_figure(plot,
                     {.title = "Spectral measure",
                      .x = {.label = "theta"},
                      .y = {.label = "density"},
                      .curves = {{.x = numbers(theta), .y = numbers(density)}}},
                     run.common.force);
  }
}

}  // namespace ritz::app
