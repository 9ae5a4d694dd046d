#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "apps/ritz/frame/command.h"
#include "ritz/base/error.h"

namespace ritz::app {

struct SequencePredict {
  static constexpr std::string_view kName = "sequence predict";
  static constexpr std::string_view kSummary = "answers of a trained sequence model";
  static constexpr std::string_view kDescription =
      "Class probabilities [n, classes] (targets: the numbers [n, k]) for each sequence, the same "
      "in "
      "every mode up to rounding. From --data - it reads one step a line (its channels as CSV, or "
      "a "
      "token's id) and answers each line at once with the prediction for all steps so far; an "
      "empty "
      "line begins a new sequence.";
  static constexpr std::string_view kExample =
      "ritz sequence predict --checkpoint pixels/model.safetensors --data fashion-mnist --test "
      "--out P.npy";

  std::string checkpoint, data, lengths, pairs, labels, targets;
  std::optional<std::string> mode;
  std::optional<int64_t> limit;
  int64_t batch = 64;
  bool raw = false, test = false;

  void declare(Options& options) {
    options.option("--checkpoint", checkpoint, "FILE", "the model (.safetensors)").required();
    options
        .option("--data", data, "DATA",
                "sequences as ritz sequence train takes them, or - for steps on standard input")
        .required();
    options.option("--mode", mode, "MODE", "how it is computed [as it was trained; step for -]")
        .one_of({"convolution", "scan", "step"});
    options.option("--lengths", lengths, "FILE", "steps of each sequence; the rest is padding");
    options
        .option("--pairs", pairs, "FILE",
                "what the sequences are compared with; without a FILE --data holds both")
        .bare("data");
    options.option("--labels", labels, "FILE", "true classes: the accuracy is told");
    options.option("--targets", targets, "FILE", "true numbers: the mean squared error is told");
    options.flag("--test", test, "the test images of fashion-mnist or of a folder");
    options.option("--limit", limit, "N", "take the first N sequences [all]").at_least(1);
    options.option("--batch", batch, "B", "sequences at a time").at_least(1);
    options.flag("--raw", raw, "outputs before the softmax");
    options.output_file("the answers, [n, classes]");
  }
  void check() const {
    if (!labels.empty() && !targets.empty())
      throw UsageError("--targets", "it or --labels", "both");
    if (data != "-") return;
    if (mode && *mode != "step") {
      throw UsageError("--mode", "step for standard input, which is answered row by row", *mode);
    }
    for (const auto* option : {&lengths, &pairs, &labels, &targets}) {
      if (!option->empty()) {
        throw UsageError("--data", "a file beside --lengths, --pairs, --labels and --targets", "-");
      }
    }
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
