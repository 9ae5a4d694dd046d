#include "apps/ritz/commands/design_space.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "ritz/base/check_tensor.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"

namespace ritz::app {
namespace {

Tensor read(const std::string& path, Run& run) {
  const auto array = io::read_array(path);
  run.input(path, array);
  const Tensor tensor = io::to_tensor(array);
  return tensor.is_floating_point() ? tensor : tensor.to(torch::kFloat64);
}

}  // namespace

Json DesignSpace::index() const {
  Json rows = Json::array();
  if (const auto* product = dynamic_cast<const design::ProductSpace*>(space.get())) {
    const auto* k = product->index().data_ptr<int64_t>();
    for (int64_t i = 0; i < product->size(); ++i, k += product->dim())
      rows.push_back(std::vector<int64_t>(k, k + product->dim()));
    return rows;
  }
  for (int64_t j = 0; j < space->size(); ++j) rows.push_back(std::vector<int64_t>{j});
  return rows;
}

DesignSpace load_design_space(const DesignSpaceOptions& options, Run& run) {
  DesignSpace made;
  if (!options.candidates.empty()) {
    const Tensor phi = read(options.candidates, run);
    const Tensor measure =
        options.measure.empty() ? Tensor() : read(options.measure, run).flatten();
    const auto space = std::make_shared<design::CandidateSpace>(
        phi, measure, design::CandidateSpace::Options{.orthonormalise = options.orthonormalise});
    if (space->dropped() > 0) {
      run.warn("dropped_candidates",
               std::to_string(space->dropped()) +
                   " candidates have no function or no probability and are never taken");
    }
    if (options.orthonormalise) run.json()["orthonormality_defect"] = space->defect();
    made.space = space;
    return made;
  }
  made.text = design::SpaceOptions{.family = options.space,
                                   .dim = options.dim,
                                   .degree = options.degree,
                                   .index = options.index,
                                   .anisotropy = options.anisotropy};
  if (!options.indices.empty()) {
    const Tensor list = read(options.indices, run).to(torch::kInt64);
    made.text->list = list.dim() == 1 ? list.unsqueeze(1) : list;
  }
  made.space =
      blame_line(options.indices.empty(), [&] { return design::product_space(*made.text); });
  return made;
}

}  // namespace ritz::app
