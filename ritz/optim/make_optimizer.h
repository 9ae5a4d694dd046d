#pragma once
// From a name and KEY=VALUE words to an optimiser.
#include <memory>
#include <vector>

#include "ritz/optim/catalogue.h"
#include "ritz/optim/optimizer.h"
#include "ritz/optim/trainer.h"

namespace ritz::optim {

/// What an optimiser is for, beside its own options.
struct OptimizerTask {
  nn::Network network;
  double lr = 0.1;
  dist::ProcessGroup* group = nullptr;  // of data-parallel training; outlives the optimiser
  uint64_t seed = 0;
  int64_t memory_limit = 0;  // bytes that it may keep; 0: 80 % of what is free
};
/// The catalogue's optimiser `name` over the network's parameters. Throws Unsupported naming the
/// optimisers that work where this one looks into layers that the network does not have.
std::unique_ptr<Optimizer> make_optimizer(std::string_view name, const OptimizerTask& task,
                                          const Settings& settings);

/// What a controller may look at. `batch` is the samples of a step, those of all ranks together.
struct ControllerTask {
  nn::Network network;
  nn::Loss loss;
  Split data;
  dist::ProcessGroup& group;
  int64_t batch = 128;
  uint64_t seed = 0;
  int64_t memory_limit = 0;  // bytes for the passes over the curvature; 0: 80 % of what is free
};
/// The controller that goes with the optimiser `name` (spectral's learner); null for most.
std::unique_ptr<Controller> make_controller(std::string_view name, const ControllerTask& task,
                                            const Settings& settings);

}  // namespace ritz::optim
