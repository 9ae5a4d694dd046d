#pragma once
// Images with labels, as `ritz train` and `ritz spectrum` take them.
#include <optional>
#include <string>
#include <vector>

#include "ritz/nn/network_file.h"

namespace ritz::nn {

struct DataOptions {
  std::string data = {};    // "fashion-mnist", a folder of IDX files, or an array file ([N, D], [N,
                            // H, W], [N, C, H, W])
  std::string labels = {};  // array file [N], where `data` is an array file
  std::string test_data = {};    // array file; optional
  std::string test_labels = {};  // array file; optional
  int64_t pool = 1;              // averages pool x pool pixels; must divide height and width
  int64_t limit = 0;             // takes the first samples of the training set (0: all)
  int64_t test_limit = 0;        // the same of the test set
  bool standardise = false;      // (x - mean) / deviation over all training pixels, after pooling
  std::optional<double> mean{},
      deviation{};            // given statistics (a checkpoint's); imply standardise
  TensorOptions tensor = {};  // dtype (float32 default) and device of the inputs
};

/// A labelled data set. Integer images were divided by 255, floating ones are as they were.
struct LabelledData {
  Tensor inputs, targets;            // [N, ...] and [N] int64 (a floating label file [N, c] stays)
  Tensor test_inputs, test_targets;  // undefined where there is no test set
  int64_t classes = 0;               // 1 + the largest label of both sets; 0 for floating targets
  double mean = 0, deviation = 1;    // what was subtracted and divided by
  std::vector<std::string> files;    // what was read, for the JSON head

  std::vector<int64_t> input_shape() const;  // of one sample
};

/// Reads, pools, cuts and standardises, in this order. Throws DataError where counts, labels or
/// shapes do not fit, InvalidArgument for options that cannot be met.
LabelledData load_labelled_data(const DataOptions& options);

/// What of it belongs into a model file: "pool", "mean", "deviation", "input_shape", "outputs".
Metadata data_metadata(const DataOptions& options, const LabelledData& data);
/// The inverse: takes pool and standardisation from a model file's metadata.
void apply_metadata(const Metadata& metadata, DataOptions& options);

}  // namespace ritz::nn
