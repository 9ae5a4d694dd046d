#include "apps/ritz/commands/learning_task.h"

#include <torch/types.h>

#include "ritz/io/array_file.h"
#include "ritz/nn/models.h"

namespace ritz::app {

LearningTask load_learning_task(const LearningTaskOptions& options, Run& run, int local_rank) {
  c10::Device device(run.common.device);
  if (device.is_cuda() && !device.has_index()) {
    device.set_index(static_cast<c10::DeviceIndex>(local_rank));
  }
  const TensorOptions tensor =
      TensorOptions(run.common.dtype == "float64" ? at::kDouble : at::kFloat).device(device);
  nn::DataOptions data_options{.data = options.data,
                               .labels = options.labels,
                               .test_data = options.test_data,
                               .test_labels = options.test_labels,
                               .pool = options.pool,
                               .limit = options.limit.value_or(0),
                               .standardise = options.standardise,
                               .mean = {},
                               .deviation = {},
                               .tensor = tensor};
  std::string model = options.model;
  if (!options.checkpoint.empty()) {
    const auto metadata = nn::read_metadata(options.checkpoint);
    nn::apply_metadata(metadata, data_options);
    if (model.empty() && metadata.contains("model")) model = metadata.at("model");
    if (model.empty()) {
      throw DataError("checkpoint", "metadata naming the model, or --model beside it", "neither",
                      options.checkpoint);
    }
  }

  LearningTask task;
  task.loss.kind = nn::parse_loss(options.loss);
  task.data = nn::load_labelled_data(data_options);
  task.metadata = nn::data_metadata(data_options, task.data);
  for (const auto& file : task.data.files) {
    for (const auto& array : io::list_arrays(file)) {
      run.input(file, array.shape, io::name_of(array.dtype));
    }
  }
  task.network = nn::make_network(
      model, {.input_shape = task.data.input_shape(),
              .outputs = task.data.classes > 0 ? task.data.classes : task.data.targets.size(-1),
              .tensor = tensor,
              .seed = run.common.seed});
  if (!options.checkpoint.empty()) nn::load_checkpoint(task.network, options.checkpoint);

  // One sample shows how many outputs there are, and that the model takes the data at all.
  const at::NoGradGuard no_graph;
  const int64_t outputs = task.network.forward(task.data.inputs.narrow(0, 0, 1)).size(-1);
  for (Tensor* targets : {&task.data.targets, &task.data.test_targets}) {
    if (!targets->defined()) continue;
    if (task.data.classes > 0) *targets = task.loss.targets_from_labels(*targets, outputs, tensor);
    const bool training = targets == &task.data.targets;
    const Tensor& inputs = training ? task.data.inputs : task.data.test_inputs;
    task.loss.check_targets(*targets, inputs.size(0), outputs);
  }
  return task;
}

}  // namespace ritz::app
