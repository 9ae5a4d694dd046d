#include "apps/ritz/commands/train.h"

#include "apps/ritz/commands/learning_task.h"
#include "apps/ritz/commands/training_run.h"

namespace ritz::app {

void Train::run(Run& run) const {
  TrainingRun training_run(training, run);
  const LearningTask learning = load_learning_task(task, run, training_run.ranks.local_rank);
  const auto& data = learning.data;
  training_run.train(
      {.network = learning.network,
       .loss = learning.loss,
       .data = {data.inputs, data.targets},
       .test = {data.test_inputs, data.test_targets},
       .metadata = learning.metadata,
       .identity = {{"loss", task.loss}, {"data", task.data}, {"checkpoint", task.checkpoint}}});
}

}  // namespace ritz::app
