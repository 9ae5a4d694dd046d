#pragma once
// The parts of the MKOR study, one a letter of the specification, and the training that they share.
#include "ritz/nn/network.h"
#include "ritz/optim/trainer.h"
#include "studies/statistics.h"
#include "studies/study.h"

namespace ritz::studies::mkor {

/// (A) Steps to a loss, beside first-order methods, Eva and K-FAC.
void convergence(const StudyContext& context, StudyResult& result);
/// (B) Cost of a renewal and of an iteration. (C) Words sent.
void cost(const StudyContext& context, StudyResult& result);
/// (D) MKOR-H beside MKOR and its backend alone.
void hybrid(const StudyContext& context, StudyResult& result);

/// Fashion-MNIST pooled to 14 x 14, intensities in [0, 1]: all 60000 images, 10000 at quick scale.
struct Images {
  Tensor inputs, targets, test_inputs, test_targets;
};
Images images(const StudyContext& context);

struct Run {
  std::string optimizer = "sgd";
  std::vector<std::string> opt = {};  // KEY=VALUE
  double lr = 0.1;
  int64_t steps = 300;
  uint64_t seed = 0;
  std::string schedule = "constant";
};
struct Outcome {
  std::vector<double> loss = {}, seconds = {};  // of each step; NaN from where it diverged
  double final_loss = 0;                        // mean of the last 20; infinite where it diverged
  double accuracy = 0;                          // on the test set; asked for
  double seconds_optimizer = 0;
  double switched_at = 0;  // MKOR-H
};
/// Trains mlp:196-128-64-10 with batches of 128.
Outcome train(const Images& images, const Run& run, bool with_accuracy = false);

/// The first step at which the mean of the last 20 losses is below `level`; steps + 1 if none is.
double steps_to(const Outcome& outcome, double level);

/// Adds NAME, NAME smallest and NAME largest to a claim's numbers.
void add_spread(Claim& claim, const std::string& name, const std::vector<double>& values);

}  // namespace ritz::studies::mkor
