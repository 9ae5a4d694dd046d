#include "apps/ritz/commands/data_make_rows.h"

#include <torch/types.h>

#include "apps/ritz/commands/generated.h"
#include "apps/ritz/frame/tensor_run.h"
#include "ritz/io/tensor.h"
#include "studies/generators/tall_rows.h"

namespace ritz::app {
namespace {

io::Array as_asked(const Run& run, const std::string& name, const Tensor& values) {
  return io::to_array(name, values.to(tensor_options(run, torch::kFloat64)).cpu());
}

Json rows_of(const Tensor& matrix) {
  Json lines = Json::array();
  for (int64_t i = 0; i < matrix.size(0); ++i) {
    const auto row = matrix[i].contiguous();
    lines.push_back(
        std::vector<double>(row.data_ptr<double>(), row.data_ptr<double>() + row.numel()));
  }
  return lines;
}

}  // namespace

void MakeBlockLeverage::run(Run& run) const {
  check_generated_targets(run);
  const auto made = studies::block_leverage(
      {.dim = dim, .heavy = heavy, .light = light, .seed = run.common.seed});
  Json truth;
  truth["dim"] = dim;
  truth["heavy"] = heavy;
  truth["light"] = light;
  truth["order"] = "for each coordinate its heavy rows, then its light ones";
  truth["p"] = 1;
  truth["sensitivity_heavy"] = 1 / (2 * static_cast<double>(heavy));
  truth["sensitivity_light"] = 1 / (2 * static_cast<double>(light));
  truth["total_sensitivity"] = dim;
  truth["transform"] = rows_of(made.transform);
  write_generated(run, {as_asked(run, "", made.matrix)}, std::move(truth));
}

void MakeMomentBlocks::run(Run& run) const {
  check_generated_targets(run);
  const auto made =
      studies::moment_blocks({.coordinates = coordinates, .few = few, .many = many, .p = p});
  Json truth;
  truth["coordinates"] = coordinates;
  truth["few"] = few;
  truth["many"] = many;
  truth["p"] = p;
  truth["sensitivity_few"] = 1 / static_cast<double>(few);
  truth["sensitivity_many"] = 1 / static_cast<double>(many);
  truth["total_sensitivity"] = coordinates;
  write_generated(run, {as_asked(run, "", made)}, std::move(truth));
}

void MakeParetoRows::run(Run& run) const {
  check_generated_targets(run);
  const auto made =
      studies::pareto_rows({.rows = rows, .dim = dim, .tail = tail, .seed = run.common.seed});
  Json truth;
  truth["rows"] = rows;
  truth["dim"] = dim;
  truth["tail"] = tail;
  write_generated(run, {as_asked(run, "", made)}, std::move(truth));
}

void MakeGaussianRows::run(Run& run) const {
  check_generated_targets(run);
  const auto made = studies::gaussian_rows({.rows = rows, .dim = dim, .seed = run.common.seed});
  Json truth;
  truth["rows"] = rows;
  truth["dim"] = dim;
  truth["p"] = p;
  truth["total_sensitivity_limit"] = studies::gaussian_total_sensitivity(dim, p);
  write_generated(run, {as_asked(run, "", made)}, std::move(truth));
}

void MakeLegendreRows::run(Run& run) const {
  check_generated_targets(run);
  Json truth;
  truth["rows"] = rows;
  truth["dim"] = dim;
  write_generated(run, {as_asked(run, "", studies::legendre_rows(rows, dim))}, std::move(truth));
}

void MakeRobustRegression::run(Run& run) const {
  check_generated_targets(run);
  const auto made = studies::robust_regression(
      {.rows = rows, .dim = dim, .tail = tail, .freedom = freedom, .seed = run.common.seed});
  Json truth;
  truth["rows"] = rows;
  truth["dim"] = dim;
  truth["tail"] = tail;
  truth["freedom"] = freedom;
  truth["solution"] = rows_of(made.solution.unsqueeze(0))[0];
  write_generated(run, {as_asked(run, "A", made.A), as_asked(run, "b", made.b)}, std::move(truth));
}

}  // namespace ritz::app
