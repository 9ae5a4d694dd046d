#include "apps/ritz/commands/data_make.h"

#include <torch/types.h>

#include "apps/ritz/commands/generated.h"
#include "apps/ritz/frame/tensor_run.h"
#include "ritz/design/design_file.h"
#include "ritz/io/tensor.h"
#include "studies/generators/design_functions.h"
#include "studies/generators/spiked.h"

namespace ritz::app {
namespace {

Json truth_of(const studies::SpikedMatrix& made) {
  Json truth;
  truth["lambda_1"] = made.top.value;
  truth["lambda_1_separated"] = made.top.separated;
  truth["overlap_1"] = made.top.overlap;
  truth["lambda_P"] = made.bottom.value;
  truth["lambda_P_separated"] = made.bottom.separated;
  truth["overlap_P"] = made.bottom.overlap;
  return truth;
}

}  // namespace

void MakeSpikedWigner::run(Run& run) const {
  check_generated_targets(run);
  const auto made = studies::spiked_wigner({.size = size,
                                            .spikes = spikes,
                                            .sigma = sigma,
                                            .batch = batch,
                                            .seed = run.common.seed,
                                            .tensor = tensor_options(run, torch::kFloat64)});
  Json truth = truth_of(made);
  truth["size"] = size;
  truth["spikes"] = spikes;
  truth["sigma"] = sigma;
  truth["batch"] = batch;
  write_generated(run, {io::to_array("", made.matrix)}, std::move(truth));
}

void MakeSpikedWishart::run(Run& run) const {
  check_generated_targets(run);
  const auto made = studies::spiked_wishart({.size = size,
                                             .spike = spike,
                                             .sigma2 = sigma2,
                                             .batch = batch,
                                             .seed = run.common.seed,
                                             .tensor = tensor_options(run, torch::kFloat64)});
  Json truth = truth_of(made);
  truth["size"] = size;
  truth["spike"] = spike;
  truth["sigma2"] = sigma2;
  truth["batch"] = batch;
  write_generated(run, {io::to_array("", made.matrix)}, std::move(truth));
}

void MakeDesignValues::run(Run& run) const {
  check_generated_targets(run);
  const auto design = design::read_design(at);
  run.input(at, io::to_array("points", design.points));
  Json truth;
  truth["function"] = function;
  if (function == "diffusion") truth["grid"] = grid;
  const Tensor values = studies::design_function(function, grid)(design.points.to(torch::kFloat64));
  write_generated(run, {io::to_array("value", values)}, std::move(truth));
}

}  // namespace ritz::app
