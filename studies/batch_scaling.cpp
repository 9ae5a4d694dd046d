// Learning rate as a function of batch size: what the paper claims, re-measured.
//
//     ritz study batch-scaling --scale desk --out study
//
// (a) theorems on synthetic matrices; (b) batch Hessians of a trained network; (c) and (d) largest
// learning rates, near it and from initialisation; (e) least damping; (f) the learner.
#include "studies/batch_scaling.h"

#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/nn/data.h"
#include "studies/batch_scaling/parts.h"

namespace ritz::studies {
namespace batch_scaling {

Images fashion_mnist(int64_t limit, int64_t pool) {
  nn::DataOptions options;
  options.data = "fashion-mnist";
  options.pool = pool;
  options.limit = limit;
  options.standardise = true;
  const auto data = nn::load_labelled_data(options);
  return {data.inputs.flatten(1).contiguous(), data.targets};
}

}  // namespace batch_scaling

StudyResult study_batch_scaling(const StudyContext& context) {
  StudyResult result;
  if (context.scale == Scale::full) {
    throw Unsupported(format_error(
        "batch-scaling at full scale",
        "ritz train and ritz spectrum scaling on your data (docs/methods/batch-scaling.md has the "
        "lines)",
        "a study, which would need the paper's CIFAR-100, ImageNet and GPU weeks"));
  }
  batch_scaling::theorems(context, result);
  const auto trained = batch_scaling::batch_hessians(context, result);
  batch_scaling::local_rates(context, trained, result);
  batch_scaling::initial_rates(context, result);
  batch_scaling::damping(context, result);
  batch_scaling::learner(context, result);
  return result;
}

}  // namespace ritz::studies
