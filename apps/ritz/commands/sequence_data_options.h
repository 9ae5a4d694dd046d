#pragma once
// How sequences are given on the command line.
#include <cstdint>
#include <optional>
#include <string>

#include "apps/ritz/frame/options.h"
#include "ritz/base/error.h"

namespace ritz::app {

struct SequenceFiles {
  std::string data, labels, targets, lengths, pairs;
};

struct SequenceDataOptions {
  SequenceFiles train, test;
  std::optional<int64_t> vocabulary, channels, classes, limit;
  int64_t pool = 1;
  bool standardise = false;

  void declare(Options& options) {
    options.option("--data", train.data, "DATA",
                   "[n, L, d], [n, L], token ids (integers [n, L]), fashion-mnist or a folder of "
                   "IDX images, read pixel by pixel");
    options.option("--labels", train.labels, "FILE", "a class for each sequence");
    options.option("--targets", train.targets, "FILE",
                   "numbers [n] or [n, k] for each sequence, instead of --labels");
    options.option("--lengths", train.lengths, "FILE",
                   "steps of each sequence; the rest is padding");
    options
        .option(
            "--pairs", train.pairs, "FILE",
            "samples are pairs of sequences: the second ones, or rows of --data [m, 2]; without "
            "a FILE --data holds both, [n, 2, L, d]")
        .bare("data");
    options.option("--test-data", test.data, "FILE", "sequences of the test set");
    options.option("--test-labels", test.labels, "FILE", "and their classes");
    options.option("--test-targets", test.targets, "FILE", "or their numbers");
    options.option("--test-lengths", test.lengths, "FILE", "and their lengths");
    options.option("--test-pairs", test.pairs, "FILE", "and what they are compared with")
        .bare("data");
    options.option("--vocabulary", vocabulary, "V", "steps are token ids below V").at_least(1);
    options.option("--channels", channels, "D", "rows hold D numbers a step").at_least(1);
    options.option("--classes", classes, "K", "labels lie below K [the largest tells]").at_least(1);
    options.option("--pool", pool, "K", "average images over K x K pixels").at_least(1);
    options.option("--limit", limit, "N", "take the first N sequences [all]").at_least(1);
    options.flag("--standardise", standardise,
                 "subtract the mean and divide by the deviation of all training steps");
  }
  void check() const {
    if (train.data.empty()) throw UsageError("--data", "it to be given", "nothing");
    for (const SequenceFiles* files : {&train, &test}) {
      if (!files->labels.empty() && !files->targets.empty()) {
        throw UsageError("--targets", "it or labels", "both");
      }
      if (files->data.empty() &&
          !(files->labels + files->targets + files->lengths + files->pairs).empty()) {
        throw UsageError("--test-data", "it beside what is said of it", "nothing");
      }
    }
    if (!test.data.empty() && test.labels.empty() && test.targets.empty()) {
      throw UsageError("--test-data", "--test-labels or --test-targets beside it", "neither");
    }
    if (vocabulary && channels) throw UsageError("--vocabulary", "it or --channels", "both");
  }
};

}  // namespace ritz::app
