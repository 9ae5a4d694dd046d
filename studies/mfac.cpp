// M-FAC: what the paper claims of matrix-free inverse Fisher matrices, re-measured.
//
//     ritz study mfac --scale desk --out study
//     ritz study mfac --scale desk --data FOLDER --out study     # FOLDER/digits.csv.gz for (D)
//
// (a) one-shot pruning; (b) gradual pruning; (c) exactness and cost; (d) the optimiser.
#include "studies/mfac.h"

#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/nn/data.h"
#include "ritz/nn/models.h"
#include "ritz/optim/first_order.h"
#include "studies/mfac/parts.h"

namespace ritz::studies {
namespace mfac {

nn::Network network_of(const TrainedNetworks& trained, size_t seed) {
  auto network = nn::make_network("mlp:784-128-64-10", {.input_shape = {784}, .seed = seed});
  if (seed < trained.parameters.size()) network.set_flat_parameters(trained.parameters[seed]);
  return network;
}

// SGD, learning rate 0.1 falling along a cosine, momentum 0.9, batches of 256.
TrainedNetworks train_networks(const StudyContext& context) {
  const bool quick = context.scale == Scale::quick;
  nn::DataOptions options;
  options.data = "fashion-mnist";
  options.limit = quick ? 12000 : 0;
  options.test_limit = quick ? 4000 : 0;
  const auto data = nn::load_labelled_data(options);
  TrainedNetworks trained{.train = {data.inputs.flatten(1).contiguous(), data.targets},
                          .test = {data.test_inputs.flatten(1).contiguous(), data.test_targets},
                          .parameters = {}};
  const size_t seeds = quick ? 1 : 3;
  const int64_t epochs = quick ? 4 : 6, steps = epochs * (trained.train.inputs.size(0) / 256);
  for (size_t seed = 0; seed < seeds; ++seed) {
    auto network = network_of({}, seed);
    optim::Sgd sgd(network.parameter_values(), {.lr = 0.1, .momentum = 0.9});
    dist::ProcessGroup alone;
    optim::train({network, {}, trained.train, sgd, alone},
                 {.batch = 256,
                  .steps = steps,
                  .lr = 0.1,
                  .schedule = "cosine",
                  .seed = context.seed + seed,
                  .on_step = [&](const optim::StepRecord& record) {
                    if (record.step % 50 == 0) {
                      const auto done = static_cast<int64_t>(seed) * steps + record.step;
                      context.progress("training", done, static_cast<int64_t>(seeds) * steps);
                    }
                  }});
    trained.parameters.push_back(network.flat_parameters());
  }
  return trained;
}

}  // namespace mfac

StudyResult study_mfac(const StudyContext& context) {
  if (context.scale == Scale::full) {
    throw Unsupported(
        "mfac: the paper's own scale (ResNet-50 and MobileNet on ImageNet, BERT) runs through "
        "`ritz "
        "prune` and `ritz train --optimizer mfac` on your data and TorchScript model");
  }
  StudyResult result;
  const auto trained = mfac::train_networks(context);
  mfac::one_shot(context, trained, result);
  mfac::gradual(context, trained, result);
  mfac::exactness(context, result);
  mfac::optimiser(context, result);
  return result;
}

}  // namespace ritz::studies
