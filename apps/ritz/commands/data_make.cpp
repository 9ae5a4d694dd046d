#include "apps/ritz/commands/data_make.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "apps/ritz/frame/run.h"
#include "apps/ritz/frame/tensor_run.h"
#include "ritz/base/atomic_file.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "studies/generators/spiked.h"

namespace ritz::app {
namespace {

std::string truth_path(const std::string& out) {
  return out.substr(0, out.rfind('.')) + ".truth.json";
}

void check_targets(const Run& run) {
  io::check_array_target(run.common.out, run.common.force);
  run.check_target(truth_path(run.common.out));
}

// The arrays, and beside them what is known about them.
void write_generated(Run& run, const std::vector<io::Array>& arrays, Json truth) {
  truth["generator"] = run.command.substr(run.command.rfind(' ') + 1);
  truth["seed"] = run.common.seed;
  io::write_arrays(run.common.out, arrays, {.force = run.common.force});
  AtomicFile file(truth_path(run.common.out), run.common.force);
  file.write(json_text(truth));
  file.commit();
  for (const auto& array : arrays)
    run.text() << run.common.out << "  " << io::describe(array) << '\n';
  run.text() << truth_path(run.common.out) << '\n';
  run.json()["out"] = run.common.out;
  run.json()["truth"] = truth;
}

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
  check_targets(run);
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
  check_targets(run);
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

}  // namespace ritz::app
