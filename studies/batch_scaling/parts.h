#pragma once
// The parts of the batch-scaling study, one a letter of the specification. Each adds its claims,
// series and figures to the result.
#include "ritz/nn/curvature.h"
#include "ritz/optim/batch_scaling.h"
#include "studies/study.h"

namespace ritz::studies::batch_scaling {

/// (a) Theorems H and G on synthetic matrices.
void theorems(const StudyContext& context, StudyResult& result);

/// What (b) leaves for (c): a trained network, its data and what was measured on them.
struct TrainedNetwork {
  nn::Objective objective;
  optim::NoiseModel model = {};  // fitted at B = 32 and 64
  std::vector<optim::BatchExtremes> batches = {};
  double noise_scale = 0;  // McCandlish's B_noise
};
/// (b) Extreme eigenvalues of batch Hessians.
TrainedNetwork batch_hessians(const StudyContext& context, StudyResult& result);
/// (c) Largest learning rate of SGD near a trained network.
void local_rates(const StudyContext& context, const TrainedNetwork& trained, StudyResult& result);
/// (d) Largest learning rates of SGD and Adam from initialisation.
void initial_rates(const StudyContext& context, StudyResult& result);
/// (e) Least damping of a second-order method.
void damping(const StudyContext& context, StudyResult& result);
/// (f) The learner beside a grid of learning rates.
void learner(const StudyContext& context, StudyResult& result);

/// The first images of Fashion-MNIST, average-pooled, standardised, flat.
struct Images {
  Tensor inputs, targets;  // [N, D] float32, [N] int64
};
Images fashion_mnist(int64_t limit, int64_t pool);

/// The entries of `batches` (and of what belongs to them) with low <= B <= high.
template <class T>
std::vector<T> within(const std::vector<double>& batches, const std::vector<T>& values, double low,
                      double high) {
  std::vector<T> chosen;
  for (size_t i = 0; i < batches.size(); ++i)
    if (batches[i] >= low && batches[i] <= high) chosen.push_back(values[i]);
  return chosen;
}

}  // namespace ritz::studies::batch_scaling
