#include "apps/ritz/commands/sequence_task.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "ritz/base/check_tensor.h"
#include "ritz/io/array_file.h"
#include "ritz/sequence/model/ssm_layers.h"

namespace ritz::app {

TensorOptions tensor_options(const Run& run, int local_rank) {
  c10::Device device(run.common.device);
  if (device.is_cuda() && !device.has_index()) {
    device.set_index(static_cast<c10::DeviceIndex>(local_rank));
  }
  return TensorOptions(run.common.dtype == "float64" ? at::kDouble : at::kFloat).device(device);
}

sequence::DataOptions data_options_of(const SequenceDataOptions& options,
                                      const TensorOptions& tensor) {
  const auto files = [](const SequenceFiles& f) {
    return sequence::DataFiles{.data = f.data,
                               .labels = f.labels,
                               .targets = f.targets,
                               .lengths = f.lengths,
                               .pairs = f.pairs};
  };
  return {.train = files(options.train),
          .test = files(options.test),
          .vocabulary = options.vocabulary.value_or(0),
          .channels = options.channels.value_or(0),
          .classes = options.classes.value_or(0),
          .pool = options.pool,
          .limit = options.limit.value_or(0),
          .standardise = options.standardise,
          .tensor = tensor};
}

void set_perturbation(const std::string& method, std::optional<double> rho, uint64_t seed,
                      sequence::LayerOptions& layer) {
  using sequence::Generator;
  if (method.starts_with("file:")) {
    layer.E = sequence::read_tensor(method.substr(5));
    return;
  }
  for (const auto generator :
       {Generator::optimised, Generator::ginibre, Generator::path, Generator::none}) {
    if (sequence::name_of(generator) == method) layer.perturbation.generator = generator;
  }
  if (rho) layer.perturbation.rho = *rho;
  layer.perturbation.seed = seed;
}

void check_fits(const sequence::ModelOptions& options, const sequence::SequenceData& data,
                const std::string& file) {
  const auto refuse = [&](const char* what, const std::string& expected, const std::string& found) {
    throw DataError(what, expected + ", as the model was made for", found, file);
  };
  if (options.pairs != data.pairs) {
    refuse("data", options.pairs ? "pairs of sequences" : "single sequences",
           data.pairs ? "pairs" : "single ones");
  }
  if (options.vocabulary > 0 && data.vocabulary == 0) refuse("data", "token ids", "numbers");
  if (options.vocabulary == 0 && data.vocabulary > 0) refuse("data", "numbers", "token ids");
  if (options.vocabulary > 0 && data.vocabulary > options.vocabulary) {
    refuse("data", "token ids below " + std::to_string(options.vocabulary),
           "ids up to " + std::to_string(data.vocabulary - 1));
  }
  if (options.vocabulary == 0 && data.channels != options.channels) {
    refuse("data", std::to_string(options.channels) + " channels", std::to_string(data.channels));
  }
}

void tell_inputs(const sequence::SequenceData& data, Run& run) {
  for (const auto& file : data.files) {
    if (file.ends_with(".pt") || file.ends_with(".pth")) {
      const Tensor tensor = sequence::read_tensor(file);
      run.input(file, tensor.sizes().vec(), dtype_name(tensor.scalar_type()));
      continue;
    }
    for (const auto& array : io::list_arrays(file)) {
      run.input(file, array.shape, io::name_of(array.dtype));
    }
  }
  for (const auto& note : data.notes) run.warn("token_ids", note);
}

void tell_model(const sequence::SequenceModel& model, const sequence::SequenceData& data,
                Run& run) {
  run.json()["length"] = data.steps;
  run.json()["channels"] = data.channels;
  std::vector<std::string> modes;
  for (const auto mode : model.modes()) modes.push_back(sequence::mode_name(mode));
  run.json()["modes"] = modes;
  double phase = 0;
  bool has_states = false;
  for (const auto& part : model.modules(/*include_self=*/false)) {
    const auto* layer = dynamic_cast<const sequence::StateSpaceLayer*>(part.get());
    if (layer == nullptr) continue;
    phase = std::max(phase, layer->phase());
    has_states = true;
  }
  if (!has_states) return;
  // Above pi a resonance is heard at another frequency; S4's bilinear form bends it below instead.
  run.json()["largest_phase"] = phase;
}

}  // namespace ritz::app
