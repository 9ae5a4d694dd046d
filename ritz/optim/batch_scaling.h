#pragma once
// Learning rates as a function of batch size, from the spectrum of the curvature.
//
// Granziol, Zohren, Roberts, JMLR 2022. A batch sees larger extreme curvature than the full data;
// how much larger decides the largest stable learning rate for each batch size.
//
//     #include "ritz/optim/batch_scaling.h"
//     #include <torch/types.h>
//     #include "ritz/base/random.h"
//     #include "ritz/nn/models.h"
//     int main() {
//       const auto network = ritz::nn::make_network("mlp:6-8-3:tanh", {.input_shape = {6}, .outputs = 3});
//       const auto x = ritz::RandomStream(1).normal({200, 6}, torch::kFloat32);
//       const ritz::nn::Objective objective{network, {}, x, x.narrow(1, 0, 3).argmax(1)};
//       const auto model = ritz::optim::measure_scaling(objective, {.fit_at = {16, 32}}).model;
//       const auto small = ritz::optim::max_learning_rate(model, ritz::optim::effective_batch(16, 200));
//       const auto large = ritz::optim::max_learning_rate(model, ritz::optim::effective_batch(128, 200));
//       return *small < *large ? 0 : 1;
//     }
#include "ritz/optim/batch_scaling/damping.h"
#include "ritz/optim/batch_scaling/learner.h"
#include "ritz/optim/batch_scaling/model.h"
#include "ritz/optim/batch_scaling/noise.h"
#include "ritz/optim/batch_scaling/rules.h"
#include "ritz/optim/batch_scaling/spectra.h"
#include "ritz/optim/batch_scaling/theory.h"

namespace ritz::optim {

enum class CurvatureKind { hessian, ggn, fisher };

struct ScalingOptions {
  std::vector<int64_t> batch_sizes = {};  // measured beside those of fit_at; may be empty
  std::vector<int64_t> fit_at = {};   // empty: 32 and 64, or N/8 and N/4 where those are smaller
  std::optional<Theory> theory = {};  // unset: wigner for the Hessian, wishart for the others
  NoiseEstimator estimator = NoiseEstimator::fit;
  CurvatureKind kind = CurvatureKind::hessian;
  ExtremesOptions full = {};
  BatchSpectraOptions spectra = {};  // its batch_sizes are not used
  NoiseOptions noise = {};
  nn::CurvatureOptions curvature = {};
};

struct ScalingResult {
  ExtremePairs full;                   // of Hessians both ends, else the upper one
  std::vector<BatchExtremes> batches;  // ascending in B; those of `batch_sizes` and `fit_at`
  std::vector<int64_t> fit_at = {};    // as used
  NoiseModel model;
};

/// The whole measurement on a network: full extremes, batch spectra, noise model. Over ranks the
/// full-data products are data parallel, the batches are shared out.
ScalingResult measure_scaling(const nn::Objective& objective, const ScalingOptions& options = {},
                              dist::ProcessGroup* group = nullptr);

}  // namespace ritz::optim
