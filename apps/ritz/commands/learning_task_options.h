#pragma once
// What commands about a network and its data have in common on the command line: which model, which
// samples, which loss. learning_task.h loads what they name.
#include <cstdint>
#include <optional>
#include <string>

#include "apps/ritz/frame/options.h"
#include "ritz/base/error.h"

namespace ritz::app {

struct LearningTaskOptions {
  std::string model, checkpoint;
  std::string data, labels, test_data, test_labels;
  int64_t pool = 1;
  std::optional<int64_t> limit;
  bool standardise = false;
  std::string loss = "cross-entropy";

  void declare(Options& options) {
    options.option("--model", model, "MODEL",
                   "mlp:784-128-64-10[:tanh], cnn:8-16-16, resnet:20, transformer:LAYERSxWIDTH or "
                   "a TorchScript file [the one that --checkpoint names]");
    options.option("--checkpoint", checkpoint, "FILE", "start from these weights (.safetensors)");
    declare_data(options);
  }
  /// For commands that name the model in another way.
  void declare_data(Options& options) {
    options.option("--data", data, "DATA",
                   "fashion-mnist, a folder of IDX files, or an array of samples");
    options.option("--labels", labels, "FILE", "labels, where --data is an array");
    options.option("--test-data", test_data, "FILE", "samples of the test set");
    options.option("--test-labels", test_labels, "FILE", "and their labels");
    options.option("--pool", pool, "K", "average images over K x K pixels").at_least(1);
    options.option("--limit", limit, "N", "take the first N samples [all]").at_least(1);
    options.flag("--standardise", standardise,
                 "subtract the mean and divide by the deviation of all training pixels");
    options.option("--loss", loss, "LOSS", "what is minimised")
        .one_of({"cross-entropy", "mse", "bernoulli"});
  }

  void check() const {
    if (data.empty()) throw UsageError("--data", "it to be given", "nothing");
    if (model.empty() && checkpoint.empty()) {
      throw UsageError("--model", "it or --checkpoint to be given", "neither");
    }
    if (test_data.empty() != test_labels.empty()) {
      throw UsageError("--test-data", "--test-labels beside it", "one without the other");
    }
  }
};

}  // namespace ritz::app
