#include "apps/ritz/commands/data_make_gradients.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "apps/ritz/commands/generated.h"
#include "apps/ritz/frame/tensor_run.h"
#include "ritz/io/tensor.h"
#include "studies/generators/gradient_rows.h"

namespace ritz::app {

void MakeGradientRows::run(Run& run) const {
  check_generated_targets(run);
  const auto made = studies::gradient_rows({.rows = rows,
                                            .columns = columns,
                                            .largest = largest,
                                            .decay = decay,
                                            .seed = run.common.seed,
                                            .tensor = tensor_options(run, torch::kFloat32)});
  const Tensor values = made.eigenvalues.cpu();
  Json truth;
  truth["eigenvalues"] = std::vector<double>(values.const_data_ptr<double>(),
                                             values.const_data_ptr<double>() + values.numel());
  truth["zeros"] = columns - rows;
  write_generated(run, {io::to_array("", made.rows)}, std::move(truth));
}

}  // namespace ritz::app
