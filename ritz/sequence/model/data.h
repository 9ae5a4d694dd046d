#pragma once
// Sequences with labels or targets, as `ritz sequence` takes them.
#include <optional>
#include <string>
#include <vector>

#include "ritz/nn/network_file.h"

namespace ritz::sequence {

/// The files of one set.
struct DataFiles {
  /// "fashion-mnist", a folder of IDX files (images, their pixels in reading order), or an array:
  /// [n, L, d]; [n, L] of floating numbers, d = 1; [n, L] of integers, which are token ids; with
  /// pairs [n, 2, L, d] or ids [n, 2, L]. Any array file, or a .pt of one tensor.
  std::string data = {};
  std::string labels = {};   // [n] classes
  std::string targets = {};  // [n] or [n, k] numbers, instead of labels
  std::string lengths = {};  // [n]; pairs [n, 2]
  /// Pairs of documents: "data", where the array holds both; an array of the others, like that of
  /// data; or integers [m, 2], the rows of data that are compared (then labels are m).
  std::string pairs = {};
};

struct DataOptions {
  DataFiles train = {}, test = {};
  int64_t vocabulary = 0;    // > 0: the steps are token ids below it
  int64_t channels = 0;      // > 0: [n, L channels] holds numbers, a step's channels together
  int64_t classes = 0;       // > 0: labels lie below it; else the largest label says
  int64_t pool = 1;          // of images: averages pool x pool pixels
  int64_t limit = 0;         // the first sequences (or pairs) of the training set; 0: all
  bool standardise = false;  // (x - mean) / deviation over all steps within their lengths
  std::optional<double> mean{}, deviation{};  // given (a checkpoint's); imply standardise
  bool needs_targets = true;                  // false: prediction, where labels may be missing
  TensorOptions tensor = {};
};

struct SequenceData {
  Tensor inputs, targets;  // packed [N, (2,) L + 1, d]; labels int64 [N] or numbers [N, k]
  Tensor test_inputs, test_targets;  // undefined where there is no test set
  int64_t steps = 0, channels = 0, vocabulary = 0, classes = 0;
  bool pairs = false;
  double mean = 0, deviation = 1;
  std::vector<std::string> files;  // what was read
  std::vector<std::string> notes;  // what a user should be told: how integers were taken
};

/// Reads and packs. DataError where an array, a length, a label, an id or a number does not fit,
/// naming its index; InvalidArgument for options that cannot be met.
SequenceData load_sequences(const DataOptions& options);

/// One array file as a tensor, .pt among them.
Tensor read_tensor(const std::string& path);

/// "pool", "mean", "deviation" for a model file, and back.
nn::Metadata data_metadata(const DataOptions& options, const SequenceData& data);
void apply_metadata(const nn::Metadata& metadata, DataOptions& options);

}  // namespace ritz::sequence
