#include "apps/ritz/commands/koopman_mixing.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "apps/ritz/commands/koopman_json.h"
#include "apps/ritz/commands/koopman_observable.h"
#include "ritz/base/error.h"
#include "ritz/io/array_file.h"
#include "ritz/io/plot.h"
#include "ritz/io/tensor.h"
#include "ritz/koopman/mixing.h"

namespace ritz::app {
namespace {

std::vector<double> numbers(const Tensor& values) {
  const Tensor plain = values.to(torch::kCPU, torch::kFloat64).contiguous();
  return {plain.const_data_ptr<double>(), plain.const_data_ptr<double>() + plain.numel()};
}

koopman::Snapshots windows_of(const koopman::Snapshots& values, int64_t lags) {
  try {
    return koopman::delay_embed(values, lags + 1);
  } catch (const InvalidArgument&) {
    throw InvalidArgument("--lags", "less than the pairs that follow each other in a trajectory",
                          std::to_string(lags));
  }
}

}  // namespace

void KoopmanMixing::run(Run& run) const {
  if (!run.common.out.empty()) io::check_array_target(run.common.out, run.common.force);
  if (!plot.empty()) run.check_target(plot, "--plot");
  const auto all = load_snapshots(data, run);
  Tensor g = load_observable(observable, all, run);
  if (remove_mean) g = g - g.index_select(0, all.rows.to(g.device())).mean();

  // Windows g(x_t), ..., g(x_{t+L}), where they and the dictionary's own delays fit.
  auto values = all;
  values.states = g.unsqueeze(1);
  values.features = torch::zeros({1}, torch::kInt64);
  const auto orbits = windows_of(values, lags);
  const auto lift = load_lift(data, all, run);
  const auto prepared = lift.prepare(all);
  const auto both = [](const koopman::Snapshots& a, const koopman::Snapshots& b) {
    return koopman::select(a, torch::isin(a.rows, b.rows).nonzero().squeeze(1));
  };
  const auto states = both(prepared, orbits), orbit = both(orbits, prepared);
  if (states.pairs() < 2)
    throw InvalidArgument("--lags", "room for the lags and the dictionary's delays in a trajectory",
                          std::to_string(lags));

  const auto found = koopman::rage(
      (*lift.functions)(states.x()), orbit.x(),
      {.dimensions = dimensions, .weights = states.weights.defined() ? states.weights : Tensor()});
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows;
  for (size_t k = 0; k < found.average.size(); ++k) {
    list.push_back({{"n", found.dimensions[k]},
                    {"L", lags},
                    {"value", found.average[k]},
                    {"noise_floor", found.noise_floor[k]}});
    rows.push_back({std::to_string(found.dimensions[k]), std::to_string(lags),
                    short_text(found.average[k]), short_text(found.noise_floor[k])});
  }
  run.table({"n", "L", "average", "noise floor"}, rows);
  run.json()["average"] = list;
  run.json()["noise_floor"] = *std::max_element(found.noise_floor.begin(), found.noise_floor.end());
  run.json()["tower"] = tower_json(koopman::tower_of(koopman::Task::mixing, {}));
  run.value("norm_squared", found.norm * found.norm, "||g||^2");
  run.value("snapshots", states.pairs(), "M");
  run.value("rank", found.rank, "of the dictionary's functions on them");

  const Tensor lag = torch::arange(lags + 1, torch::kFloat64);
  std::vector<io::Array> columns = {io::to_array("lag", lag)};
  std::vector<io::Curve> curves;
  for (size_t k = 0; k < found.average.size(); ++k) {
    const Tensor running = found.running[static_cast<int64_t>(k)];
    const std::string name = "n" + std::to_string(found.dimensions[k]);
    columns.push_back(io::to_array(name, running));
    curves.push_back({.label = "n = " + std::to_string(found.dimensions[k]),
                      .x = numbers(lag),
                      .y = numbers(running)});
  }
  if (!run.common.out.empty())
    io::write_arrays(run.common.out, columns, {.force = run.common.force});
  if (!plot.empty()) {
    io::write_figure(plot,
                     {.title = "RAGE averages",
                      .x = {.label = "L"},
                      .y = {.label = "share of ||g||^2", .min = 0},
                      .curves = curves},
                     run.common.force);
  }
}

}  // namespace ritz::app
