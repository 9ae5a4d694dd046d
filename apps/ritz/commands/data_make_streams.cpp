#include "apps/ritz/commands/data_make_streams.h"

#include <torch/types.h>

#include "apps/ritz/commands/generated.h"
#include "apps/ritz/frame/tensor_run.h"
#include "ritz/io/tensor.h"
#include "studies/generators/streams.h"

namespace ritz::app {
namespace {

/// The rows; of them the planted and the exact first direction.
void write_stream(Run& run, const studies::RowStream& made, Json truth) {
  const auto exact = studies::exact_direction(made.rows);
  const auto list = [](const Tensor& v) {
    const Tensor values = v.to(torch::kCPU, torch::kFloat64).contiguous();
    return std::vector<double>(values.const_data_ptr<double>(),
                               values.const_data_ptr<double>() + values.numel());
  };
  truth["sigma1"] = exact.sigma1;
  truth["s1_squared_over_s2_squared"] = exact.gap;
  truth["heavy_rows"] = made.heavy;
  truth["planted"] = list(made.direction);
  truth["vector"] = list(exact.vector);
  write_generated(run, {io::to_array("", made.rows)}, std::move(truth));
}

}  // namespace

void MakeHeavyRows::run(Run& run) const {
  check_generated_targets(run);
  const auto made = studies::heavy_rows({.cols = cols,
                                         .rows = rows,
                                         .heavy = heavy,
                                         .gap = gap,
                                         .strength = strength,
                                         .seed = run.common.seed,
                                         .tensor = tensor_options(run, torch::kFloat64)});
  write_stream(
      run, made,
      {{"cols", cols}, {"rows", rows}, {"heavy", heavy}, {"gap", gap}, {"strength", strength}});
}

void MakeSpikeStream::run(Run& run) const {
  check_generated_targets(run);
  const auto made = studies::spike_stream({.cols = cols,
                                           .spikes = spikes,
                                           .noise = noise,
                                           .strength = strength,
                                           .order = order,
                                           .seed = run.common.seed,
                                           .tensor = tensor_options(run, torch::kFloat64)});
  write_stream(run, made,
               {{"cols", cols},
                {"spikes", spikes},
                {"noise", noise},
                {"strength", strength},
                {"order", order}});
}

void MakeOjaHard::run(Run& run) const {
  check_generated_targets(run);
  const auto made = studies::oja_hard({.cols = cols,
                                       .gap = gap,
                                       .seed = run.common.seed,
                                       .tensor = tensor_options(run, torch::kFloat64)});
  write_stream(run, made, {{"cols", cols}, {"gap", gap}});
}

void MakeHiddenRow::run(Run& run) const {
  check_generated_targets(run);
  const auto made = studies::hidden_row({.cols = cols,
                                         .heavy = heavy,
                                         .copies = copies,
                                         .gap = gap,
                                         .strength = strength,
                                         .seed = run.common.seed,
                                         .tensor = tensor_options(run, torch::kFloat64)});
  write_stream(
      run, made,
      {{"cols", cols}, {"heavy", heavy}, {"copies", copies}, {"gap", gap}, {"strength", strength}});
}

}  // namespace ritz::app
