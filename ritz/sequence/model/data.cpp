#include "ritz/sequence/model/data.h"

#include <torch/csrc/jit/serialization/pickle.h>
#include <torch/types.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "ritz/base/check_tensor.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/nn/data.h"
#include "ritz/sequence/model/lengths.h"

namespace ritz::sequence {

namespace {

namespace fs = std::filesystem;

/// One set before it is packed.
struct Set {
  Tensor x;        // floating [n, (2,) L, d]; ids of tokens as int64 [n, (2,) L]
  Tensor lengths;  // int64 [n, (2)], or undefined
  Tensor targets;  // int64 [n], floating [n, k], or undefined
  bool ids = false;
};

c10::ScalarType dtype_of(const DataOptions& options) {
  return c10::typeMetaToScalarType(options.tensor.dtype());
}

/// Whole numbers of any dtype as int64; DataError naming the first that is none, or below `least`.
Tensor whole_numbers(const Tensor& raw, int64_t least, const std::string& what,
                     const std::string& file) {
  if (raw.is_complex()) throw DataError(file, what, describe(raw));
  const Tensor whole = raw.to(at::kLong);
  const Tensor wrong = raw.is_floating_point()
                           ? ((whole.to(raw.scalar_type()) != raw) | (raw < least)).flatten()
                           : (whole < least).flatten();
  if (wrong.any().item<bool>()) {
    const auto i = wrong.nonzero()[0].item<int64_t>();
    throw DataError(file, what, number_text(raw.flatten()[i].item<double>()),
                    "index " + std::to_string(i));
  }
  return whole;
}

bool holds_ids(const Tensor& raw, bool pairs, const DataOptions& options) {
  if (options.channels > 0) return false;
  if (options.vocabulary > 0) return true;
  return !raw.is_floating_point() && raw.dim() == (pairs ? 3 : 2);
}

/// An array of sequences as floating [n, (2,) L, d] or int64 ids [n, (2,) L].
Tensor sequences_of(Tensor raw, bool pairs, const DataOptions& options, const std::string& file) {
  const int64_t lead = pairs ? 2 : 1;
  if (holds_ids(raw, pairs, options)) {
    if (raw.dim() != lead + 1) {
      throw DataError(file, pairs ? "token ids [n, 2, L]" : "token ids [n, L]", describe(raw));
    }
    raw = whole_numbers(raw, 0, "token ids 0, 1, 2, ...", file);
  } else {
    if (raw.is_complex()) throw DataError(file, "real numbers", describe(raw));
    raw = raw.to(options.tensor.device(), dtype_of(options));
    if (options.channels > 0 && raw.dim() == lead + 1) {
      const int64_t d = options.channels;
      if (raw.size(-1) % d != 0) {
        throw DataError(file, "rows of a multiple of " + std::to_string(d) + " channels",
                        describe(raw));
      }
      raw = raw.unflatten(-1, {raw.size(-1) / d, d});
    } else if (raw.dim() == lead + 1) {
      raw = raw.unsqueeze(-1);
    }
    if (raw.dim() != lead + 2) {
      throw DataError(file,
                      pairs ? "pairs of sequences [n, 2, L, d]" : "sequences [n, L, d] or [n, L]",
                      describe(raw));
    }
    if (options.channels > 0 && raw.size(-1) != options.channels) {
      throw DataError(file, std::to_string(options.channels) + " channels", describe(raw));
    }
  }
  if (raw.numel() == 0) throw DataError(file, "sequences of one step or more", describe(raw));
  if (pairs && raw.size(1) != 2) throw DataError(file, "two sequences a pair", describe(raw));
  return raw;
}

Tensor read_lengths(const std::string& file, at::IntArrayRef shape, int64_t steps) {
  Tensor raw = read_tensor(file);
  if (raw.dim() == 2 && raw.size(1) == 1 && shape.size() == 1) raw = raw.squeeze(1);
  if (raw.sizes() != shape) {
    throw DataError(file, "a length for each sequence", describe(raw));
  }
  const Tensor lengths = whole_numbers(
      raw, 1, "lengths from 1 to the " + std::to_string(steps) + " steps there are", file);
  const Tensor wrong = (lengths > steps).flatten();
  if (wrong.any().item<bool>()) {
    const auto i = wrong.nonzero()[0].item<int64_t>();
    throw DataError(file, "lengths from 1 to the " + std::to_string(steps) + " steps there are",
                    std::to_string(lengths.flatten()[i].item<int64_t>()),
                    "index " + std::to_string(i));
  }
  return lengths;
}

/// Numbers must be finite within the lengths; what is beyond may be anything.
void check_numbers(const Set& set, const std::string& file) {
  if (set.ids) return;
  Tensor bad = set.x.isfinite().all(-1).logical_not();  // [n, (2,) L]
  if (set.lengths.defined()) bad = bad & length_mask(set.lengths, set.x.size(-2));
  if (!bad.any().item<bool>()) return;
  const Tensor at = bad.nonzero()[0];
  std::string where = "sequence " + std::to_string(at[0].item<int64_t>());
  if (at.size(0) == 3)
    where += at[1].item<int64_t>() == 0 ? ", the first of the pair" : ", the second of the pair";
  throw DataError(file, "finite numbers within the sequences' lengths", "NaN or Inf",
                  where + ", step " + std::to_string(at[-1].item<int64_t>()));
}

Tensor read_labels(const DataFiles& files, const DataOptions& options, int64_t samples) {
  if (!files.labels.empty() && !files.targets.empty()) {
    throw InvalidArgument("targets", "labels or targets", "both");
  }
  if (files.labels.empty() && files.targets.empty()) {
    if (!options.needs_targets) return {};
    throw InvalidArgument("labels", "an array file with a label for each sequence, or targets",
                          "none");
  }
  const bool classes = !files.labels.empty();
  const std::string& file = classes ? files.labels : files.targets;
  Tensor raw = read_tensor(file);
  if (classes && raw.dim() == 2 && raw.size(1) == 1) raw = raw.squeeze(1);
  if (!classes && raw.dim() == 1) raw = raw.unsqueeze(1);
  if (raw.dim() != (classes ? 1 : 2) || (!classes && raw.size(1) == 0)) {
    throw DataError(file, classes ? "labels [n]" : "targets [n] or [n, k]", describe(raw));
  }
  if (raw.size(0) != samples) {
    throw DataError(file,
                    std::to_string(samples) + (classes ? " labels" : " targets") +
                        ", one for each sequence or pair",
                    std::to_string(raw.size(0)));
  }
  if (!classes) {
    raw = raw.to(options.tensor.device(), dtype_of(options), false, true);
    check_finite(file, raw);
    return raw;
  }
  const std::string range = options.classes > 0
                                ? "labels from 0 to " + std::to_string(options.classes - 1)
                                : "labels 0, 1, 2, ...";
  const Tensor labels = whole_numbers(raw, 0, range, file);
  if (options.classes > 0 && labels.max().item<int64_t>() >= options.classes) {
    const auto i = (labels >= options.classes).nonzero()[0].item<int64_t>();
    throw DataError(file, range, std::to_string(labels[i].item<int64_t>()),
                    "index " + std::to_string(i));
  }
  return labels.to(options.tensor.device());
}

/// Pairs out of single sequences and a second file.
void join_pairs(Set& set, const DataFiles& files, const DataOptions& options) {
  const Tensor raw = read_tensor(files.pairs);
  const int64_t n = set.x.size(0);
  if (!raw.is_floating_point() && raw.dim() == 2 && raw.size(1) == 2 &&
      (!set.ids || set.x.size(1) != 2)) {
    const Tensor rows = whole_numbers(raw, 0, "rows of " + files.data, files.pairs);
    const Tensor wrong = (rows >= n).flatten();
    if (wrong.any().item<bool>()) {
      const auto i = wrong.nonzero()[0].item<int64_t>();
      throw DataError(files.pairs, "rows of " + files.data + ", 0 to " + std::to_string(n - 1),
                      std::to_string(rows.flatten()[i].item<int64_t>()),
                      "pair " + std::to_string(i / 2));
    }
    const Tensor flat = rows.flatten();
    set.x = set.x.index_select(0, flat).unflatten(0, {-1, 2});
    if (set.lengths.defined()) set.lengths = set.lengths.index_select(0, flat).view({-1, 2});
    return;
  }
  const Tensor other = sequences_of(raw, false, options, files.pairs);
  if (other.sizes() != set.x.sizes()) {
    throw DataError(files.pairs, "sequences like those of " + files.data + ", " + describe(set.x),
                    describe(other));
  }
  set.x = at::stack({set.x, other}, 1);
}

Set read_set(const DataFiles& files, const DataOptions& options) {
  Set set;
  Tensor raw = read_tensor(files.data);
  const bool within = files.pairs == "data" || (files.pairs.empty() && raw.dim() == 4);
  set.ids = holds_ids(raw, within, options);
  set.x = sequences_of(raw, within, options, files.data);
  const bool join = !files.pairs.empty() && !within;
  const int64_t n = set.x.size(0), steps = set.ids ? set.x.size(-1) : set.x.size(-2);
  if (!files.lengths.empty()) {
    // Two documents a pair have two lengths, wherever the second is from.
    const bool both = within || (join && read_tensor(files.lengths).dim() == 2);
    set.lengths = read_lengths(files.lengths,
                               both ? std::vector<int64_t>{n, 2} : std::vector<int64_t>{n}, steps);
  }
  if (join) {
    const bool own_lengths = set.lengths.defined() && set.lengths.dim() == 1;
    join_pairs(set, files, options);
    if (own_lengths && set.lengths.dim() == 1) {
      throw DataError(files.lengths, "lengths [n, 2] of both documents of each pair",
                      describe(set.lengths));
    }
  }
  set.targets = read_labels(files, options, set.x.size(0));
  check_numbers(set, files.data);
  return set;
}

/// Images as sequences of their pixels, in reading order.
void read_images(const DataOptions& options, Set& train, Set& test, SequenceData& data) {
  nn::DataOptions images{.data = options.train.data,
                         .pool = options.pool,
                         .limit = 0,
                         .tensor = TensorOptions(dtype_of(options))};
  auto all = nn::load_labelled_data(images);
  const auto sequence = [](const Tensor& x) {
    const Tensor planes = x.dim() == 4 ? x.flatten(2).transpose(1, 2) : x.flatten(1).unsqueeze(-1);
    return planes.contiguous();
  };
  train.x = sequence(all.inputs);
  train.targets = all.targets;
  if (all.test_inputs.defined()) {
    test.x = sequence(all.test_inputs);
    test.targets = all.test_targets;
  }
  data.files = all.files;
}

void cut(Set& set, int64_t limit, const std::string& file) {
  if (limit == 0) return;
  if (limit > set.x.size(0)) {
    throw InvalidArgument("limit", "at most " + std::to_string(set.x.size(0)) + " sequences",
                          std::to_string(limit), file);
  }
  for (Tensor* each : {&set.x, &set.lengths, &set.targets}) {
    if (each->defined()) *each = each->narrow(0, 0, limit);
  }
}

Tensor packed(const Set& set, const DataOptions& options) {
  Tensor x = set.x;
  if (set.ids) x = x.unsqueeze(-1).to(options.tensor.device(), dtype_of(options));
  return pack(x.to(options.tensor.device()), set.lengths);
}

void standardise(Set& train, Set& test, const DataOptions& options, SequenceData& data) {
  if (options.mean) {
    data.mean = *options.mean;
    data.deviation = *options.deviation;
  } else if (options.standardise) {
    Tensor rows = train.x;
    if (train.lengths.defined()) {
      rows = rows.flatten(0, -2).index_select(
          0, length_mask(train.lengths, train.x.size(-2)).flatten().nonzero().squeeze(1));
    }
    const auto [variance, mean] = at::var_mean(rows.to(at::kDouble), /*unbiased=*/false);
    data.mean = mean.item<double>();
    data.deviation = std::sqrt(variance.item<double>());
    if (!(data.deviation > 0)) {
      throw DataError(options.train.data, "steps that vary, to standardise them",
                      "deviation " + number_text(data.deviation));
    }
  } else {
    return;
  }
  for (Set* set : {&train, &test}) {
    if (set->x.defined()) set->x = (set->x - data.mean) / data.deviation;
  }
}

/// Longer sequences of the other set are padding for this one's.
void fit_steps(Set& set, int64_t steps) {
  const int64_t own = set.ids ? set.x.size(-1) : set.x.size(-2);
  if (own == steps) return;
  if (!set.lengths.defined()) {
    set.lengths = at::full(set.x.sizes().slice(0, set.ids ? set.x.dim() - 1 : set.x.dim() - 2), own,
                           at::kLong);
  }
  std::vector<int64_t> pad;
  if (!set.ids) pad = {0, 0};
  pad.insert(pad.end(), {0, steps - own});
  set.x = at::constant_pad_nd(set.x, pad);
}

}  // namespace

Tensor read_tensor(const std::string& path) {
  if (!path.ends_with(".pt") && !path.ends_with(".pth")) return io::to_tensor(io::read_array(path));
  std::ifstream file(path, std::ios::binary);
  if (!file) throw DataError(path, "a file", "none that can be read");
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  try {
    const c10::IValue value = torch::jit::pickle_load(bytes);
    if (value.isTensor() && value.toTensor().layout() == at::kStrided) {
      return value.toTensor().contiguous();
    }
  } catch (const std::exception&) {  // whatever libtorch has to say of it, it is no such file
  }
  throw DataError(path, "one tensor, as torch.save writes it", "another file");
}

SequenceData load_sequences(const DataOptions& options) {
  check_at_least("vocabulary", options.vocabulary, 0);
  check_at_least("channels", options.channels, 0);
  check_at_least("classes", options.classes, 0);
  check_at_least("limit", options.limit, 0);
  if (options.vocabulary > 0 && options.channels > 0) {
    throw InvalidArgument("vocabulary", "it or channels", "both");
  }
  if (options.mean.has_value() != options.deviation.has_value()) {
    throw InvalidArgument("mean and deviation", "both or neither", "one of them");
  }
  if (options.train.data.empty()) throw InvalidArgument("data", "a data set", "none");
  SequenceData data;
  Set train, test;
  const bool images = (options.train.data == "fashion-mnist" && !fs::exists(options.train.data)) ||
                      fs::is_directory(options.train.data);
  if (images) {
    read_images(options, train, test, data);
  } else {
    if (options.pool != 1) {
      throw InvalidArgument("pool", "1 for sequences; images can be pooled",
                            std::to_string(options.pool));
    }
    train = read_set(options.train, options);
    if (!options.test.data.empty()) test = read_set(options.test, options);
    for (const DataFiles* files : {&options.train, &options.test}) {
      for (const auto& file : {files->data, files->labels, files->targets, files->lengths}) {
        if (!file.empty()) data.files.push_back(file);
      }
      if (!files->pairs.empty() && files->pairs != "data") data.files.push_back(files->pairs);
    }
  }
  cut(train, options.limit, options.train.data);
  data.pairs = train.x.dim() == (train.ids ? 3 : 4);
  const auto steps_of = [](const Set& set) { return set.ids ? set.x.size(-1) : set.x.size(-2); };
  data.steps = steps_of(train);
  if (test.x.defined()) {
    if (test.x.dim() != train.x.dim() || test.ids != train.ids ||
        (!train.ids && test.x.size(-1) != train.x.size(-1))) {
      throw DataError(options.test.data, "sequences like those of training, " + describe(train.x),
                      describe(test.x));
    }
    if (test.targets.defined() && test.targets.sizes().slice(1) != train.targets.sizes().slice(1)) {
      throw DataError(options.test.data, "targets like those of training", describe(test.targets));
    }
    data.steps = std::max(data.steps, steps_of(test));
    fit_steps(train, data.steps);
    fit_steps(test, data.steps);
  }
  if (train.ids) {
    int64_t largest = train.x.max().item<int64_t>();
    if (test.x.defined()) largest = std::max(largest, test.x.max().item<int64_t>());
    data.vocabulary = options.vocabulary > 0 ? options.vocabulary : largest + 1;
    if (largest >= data.vocabulary) {
      throw DataError(options.train.data, "token ids below " + std::to_string(data.vocabulary),
                      std::to_string(largest));
    }
    if (options.vocabulary == 0) {
      data.notes.push_back(options.train.data + ": whole numbers are taken as ids of " +
                           std::to_string(data.vocabulary) + " tokens (--channels 1: as numbers)");
    }
    data.channels = 1;
  } else {
    data.channels = train.x.size(-1);
    standardise(train, test, options, data);
  }
  if (train.targets.defined() && !train.targets.is_floating_point()) {
    data.classes = 1 + train.targets.max().item<int64_t>();
    if (test.targets.defined()) {
      data.classes = std::max(data.classes, 1 + test.targets.max().item<int64_t>());
    }
    data.classes = std::max(data.classes, options.classes);
  }
  data.inputs = packed(train, options);
  data.targets = train.targets;
  if (test.x.defined()) {
    data.test_inputs = packed(test, options);
    data.test_targets = test.targets;
  }
  return data;
}

nn::Metadata data_metadata(const DataOptions& options, const SequenceData& data) {
  nn::Metadata metadata{{"pool", std::to_string(options.pool)}};
  if (options.standardise || options.mean) {
    metadata["mean"] = number_text(data.mean);
    metadata["deviation"] = number_text(data.deviation);
  }
  return metadata;
}

void apply_metadata(const nn::Metadata& metadata, DataOptions& options) {
  nn::DataOptions images;  // the keys are the same
  nn::apply_metadata(metadata, images);
  options.pool = images.pool;
  options.mean = images.mean;
  options.deviation = images.deviation;
}

}  // namespace ritz::sequence
