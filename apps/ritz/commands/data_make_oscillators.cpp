#include "apps/ritz/commands/data_make_oscillators.h"

#include <torch/types.h>

#include <cmath>

#include "apps/ritz/commands/generated.h"
#include "apps/ritz/frame/tensor_run.h"
#include "ritz/io/tensor.h"
#include "studies/generators/oscillators.h"

namespace ritz::app {

void MakeTwoOscillators::run(Run& run) const {
  check_generated_targets(run);
  const auto made = studies::two_oscillators({.trajectories = trajectories,
                                              .steps = steps,
                                              .points = points,
                                              .weak = weak,
                                              .noise = noise,
                                              .seed = run.common.seed});
  Json first = Json::array();
  const Tensor start = made.phases.select(1, 0).contiguous();
  for (int64_t i = 0; i < trajectories; ++i) {
    first.push_back({start[i][0].item<double>(), start[i][1].item<double>()});
  }
  const Tensor field = made.field.to(tensor_options(run, torch::kFloat64));
  write_generated(run, {io::to_array("", field)},
                  {{"weak", weak},
                   {"noise", noise},
                   {"frequencies", {0.35, 0.35 * std::sqrt(2.0)}},
                   {"first_phases", first}});
}

}  // namespace ritz::app
