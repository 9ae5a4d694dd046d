#include "apps/ritz/commands/koopman_data.h"

#include <torch/types.h>

#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"

namespace ritz::app {

Tensor load_numbers(const std::string& path, Run& run) {
  const auto array = io::read_array(path);
  run.input(path, array);
  Tensor values = io::to_tensor(array);
  auto type = values.scalar_type();
  if (type == torch::kHalf || type == torch::kBFloat16) {
    type = torch::kFloat32;
  } else if (!values.is_floating_point() && !values.is_complex()) {
    type = torch::kFloat64;
    if (values.scalar_type() != torch::kBool) {
      run.warn("integers", path + ": integers were converted to float64");
    }
  }
  if (!run.common.dtype.empty() && !values.is_complex()) {
    type = run.common.dtype == "float32" ? torch::kFloat32 : torch::kFloat64;
  }
  return values.to(torch::Device(run.common.device), type);
}

koopman::Snapshots load_snapshots(const KoopmanDataOptions& options, Run& run) {
  std::vector<Tensor> data;
  for (const auto& file : options.files) data.push_back(load_numbers(file, run));
  koopman::SnapshotOptions how{.dt = options.dt};
  if (!options.weights.empty()) how.weights = load_numbers(options.weights, run);
  if (!options.mask.empty()) {
    how.mask = load_numbers(options.mask, run);
    if (how.mask.dim() == 2 && how.mask.size(1) == 1) how.mask = how.mask.squeeze(1);  // of CSV
  }
  if (options.trajectories) return koopman::trajectories(data, how);
  return data.size() == 2 ? koopman::pairs(data[0], data[1], how)
                          : koopman::trajectories(data[0], how);
}

koopman::Lift load_lift(const KoopmanDataOptions& options, const koopman::Snapshots& train,
                        Run& run) {
  koopman::DictionaryOptions how{.name = options.dictionary.empty() ? "linear" : options.dictionary,
                                 .size = options.size,
                                 .period = options.period,
                                 .scale = options.kernel_scale,
                                 .degree = options.degree,
                                 .spacing = options.spacing,
                                 .seed = run.common.seed};
  if (!options.centres.empty()) how.centres = load_numbers(options.centres, run);
  return koopman::make_lift(how, train);
}

}  // namespace ritz::app
