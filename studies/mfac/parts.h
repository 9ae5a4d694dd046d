#pragma once
// The parts of the M-FAC study, one a letter of the specification. Each adds its claims, series and
// figures to the result.
#include "ritz/compress/prune.h"
#include "studies/study.h"

namespace ritz::studies::mfac {

/// A and B start from the same networks: one for each seed, trained on Fashion-MNIST.
struct TrainedNetworks {
  optim::Split train, test;
  std::vector<Tensor> parameters;  // one vector [P] a seed
};
TrainedNetworks train_networks(const StudyContext& context);
/// A copy of the network of a seed.
nn::Network network_of(const TrainedNetworks& trained, size_t seed);

/// A: one-shot pruning beside magnitude and the diagonal Fisher matrix.
void one_shot(const StudyContext& context, const TrainedNetworks& trained, StudyResult& result);
/// B: gradual pruning with fine-tuning.
void gradual(const StudyContext& context, const TrainedNetworks& trained, StudyResult& result);
/// C: exactness, and how the cost grows.
void exactness(const StudyContext& context, StudyResult& result);
/// D: the optimiser beside tuned SGD, Adam and GGT.
void optimiser(const StudyContext& context, StudyResult& result);

inline double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

}  // namespace ritz::studies::mfac
