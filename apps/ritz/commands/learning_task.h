#pragma once
// A network, its loss and its data, as the common options name them.
#include "apps/ritz/commands/learning_task_options.h"
#include "apps/ritz/frame/run.h"
#include "ritz/nn/data.h"
#include "ritz/nn/loss.h"
#include "ritz/nn/network.h"

namespace ritz::app {

struct LearningTask {
  nn::Network network;
  nn::Loss loss;
  nn::LabelledData data;  // targets as the loss takes them
  nn::Metadata metadata;  // what a model file should say of the data
};

/// Loads data, network and weights, and tells `run` of the inputs. Pooling and standardisation are
/// those of the checkpoint, where it says. `local_rank` picks the GPU under --device cuda.
LearningTask load_learning_task(const LearningTaskOptions& options, Run& run, int local_rank = 0);

}  // namespace ritz::app
