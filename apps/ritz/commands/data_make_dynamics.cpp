#include "apps/ritz/commands/data_make_dynamics.h"

#include <torch/types.h>

#include <string>
#include <vector>

#include "apps/ritz/commands/generated.h"
#include "apps/ritz/frame/tensor_run.h"
#include "ritz/io/tensor.h"
#include "studies/generators/dynamics.h"

namespace ritz::app {
namespace {

void write_rows(Run& run, const Tensor& rows, Json truth) {
  write_generated(run, {io::to_array("", rows.to(tensor_options(run, torch::kFloat64)))},
                  std::move(truth));
}

void write_pair(Run& run, const studies::AdversarialPair& made, Json truth) {
  std::vector<io::Array> arrays;
  const auto add = [&](const char* name, const Tensor& values) {
    arrays.push_back(io::to_array(name, values.to(tensor_options(run, torch::kFloat64))));
  };
  add("X", made.x);
  add("Y", made.y);
  add("Y_other", made.other);
  add("X_inside", made.x_inside);
  add("Y_inside", made.y_inside);
  add("Y_other_inside", made.other_inside);
  truth["gap"] = {made.low, made.high};
  truth["equal_at_samples"] = torch::equal(made.y, made.other);
  write_generated(run, arrays, std::move(truth));
}

studies::FlowOptions flow_options(const FlowCommandOptions& line, const Run& run) {
  return {.steps = line.steps, .dt = line.dt, .transient = line.transient, .seed = run.common.seed};
}

}  // namespace

void MakeDuffing::run(Run& run) const {
  check_generated_targets(run);
  write_rows(run,
             studies::duffing({.trajectories = trajectories,
                               .steps = steps,
                               .dt = dt,
                               .damping = damping,
                               .region = region,
                               .seed = run.common.seed}),
             {{"dt", dt},
              {"damping", damping},
              {"region", region},
              {"measure_preserving", damping == 0 && region == "invariant"},
              {"approximate_point_spectrum",
               damping == 0 && region == "invariant" ? Json("unit circle") : Json()}});
}

void MakeLorenz::run(Run& run) const {
  check_generated_targets(run);
  write_rows(run, studies::lorenz(flow_options(flow, run)),
             {{"dt", flow.dt}, {"measure_preserving", true}, {"spectrum", "1 and the circle"}});
}

void MakeRossler::run(Run& run) const {
  check_generated_targets(run);
  write_rows(run, studies::rossler(flow_options(flow, run)),
             {{"dt", flow.dt}, {"measure_preserving", true}});
}

void MakeCatMap::run(Run& run) const {
  check_generated_targets(run);
  const Tensor states = studies::cat_map({.trajectories = trajectories,
                                          .steps = steps,
                                          .rotation = rotation,
                                          .seed = run.common.seed});
  Json moments = Json::array();
  for (const auto& [re, im] : {std::pair{.65625, 0.0}, {.25, -.0625}, {0.0, -.125}})
    moments.push_back({{"re", re}, {"im", im}});
  Json truth = {{"g", "sin x + sin(2 x + y) / 2 + (i / 4) sin(5 x + 3 y)"},
                {"moments", moments},
                {"moments_beyond", 0},
                {"rotation", rotation ? Json(std::sqrt(2.0)) : Json()}};
  if (!observable) {
    write_rows(run, states, std::move(truth));
    return;
  }
  const Tensor g = studies::cat_map_observable(states.narrow(2, rotation ? 1 : 0, 2));
  write_generated(
      run,
      {io::to_array("X", states.to(tensor_options(run, torch::kFloat64))), io::to_array("g", g)},
      std::move(truth));
}

void MakeTorusSkew::run(Run& run) const {
  check_generated_targets(run);
  const auto made = studies::torus_skew({.trajectories = trajectories,
                                         .steps = steps,
                                         .alpha = alpha,
                                         .harmonics = harmonics,
                                         .agree = agree,
                                         .exponent = exponent,
                                         .seed = run.common.seed});
  write_rows(run, made.trajectories,
             {{"alpha", alpha},
              {"harmonics", harmonics},
              {"agree", agree},
              {"exponent", exponent},
              {"eigenfunctions_along_the_fibre_without_end_of_harmonics", exponent > 0.5},
              {"energy", made.energy}});
}

void MakeDiscPair::run(Run& run) const {
  check_generated_targets(run);
  write_pair(
      run,
      studies::disc_pair({.points = pair.points, .inside = pair.inside, .seed = run.common.seed}),
      {{"spectrum", {1, -1}}, {"spectrum_of_other", "unit circle"}});
}

void MakeIntervalPair::run(Run& run) const {
  check_generated_targets(run);
  write_pair(run,
             studies::interval_pair(
                 {.points = pair.points, .inside = pair.inside, .seed = run.common.seed}),
             {{"spectrum", {1, -1}}, {"approximate_point_spectrum_of_other", "unit circle"}});
}

void MakeSeasonalField::run(Run& run) const {
  check_generated_targets(run);
  const auto made = studies::seasonal_field({.pixels = pixels,
                                             .steps = steps,
                                             .season = season,
                                             .noise = noise,
                                             .correlation = correlation,
                                             .patterns = patterns,
                                             .seed = run.common.seed});
  write_rows(run, made.field,
             {{"modulus", made.modulus}, {"period", made.period}, {"season", season}});
}

}  // namespace ritz::app
