#include "ritz/nn/data.h"

#include <torch/types.h>

#include <charconv>
#include <filesystem>

#include "ritz/base/check_tensor.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"

namespace ritz::nn {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFashionMnist = "/usr/share/datasets/fashion-mnist";

/// The four files of an IDX data set; the test files may be missing.
struct IdxFiles {
  std::string images, labels, test_images, test_labels;
};

std::string first_existing(const fs::path& folder, const std::vector<std::string>& stems,
                           const std::string& rest) {
  for (const auto& stem : stems) {
    for (const char* separator : {"-", "."}) {
      for (const char* packed : {"", ".gz"}) {
        const fs::path path = folder / (stem + separator + rest + packed);
        if (fs::exists(path)) return path.string();
      }
    }
  }
  return {};
}

IdxFiles idx_files(const fs::path& folder) {
  const IdxFiles files{first_existing(folder, {"train-images"}, "idx3-ubyte"),
                       first_existing(folder, {"train-labels"}, "idx1-ubyte"),
                       first_existing(folder, {"t10k-images", "test-images"}, "idx3-ubyte"),
                       first_existing(folder, {"t10k-labels", "test-labels"}, "idx1-ubyte")};
  const auto require = [&](const std::string& file, const char* name) {
    if (file.empty())
      throw DataError(folder.string(), std::string("a file ") + name + "[.gz]", "none");
  };
  require(files.images, "train-images-idx3-ubyte");
  require(files.labels, "train-labels-idx1-ubyte");
  if (!files.test_images.empty()) require(files.test_labels, "t10k-labels-idx1-ubyte");
  return files;
}

/// [N, ...] images of one set: cut, converted, pooled.
Tensor read_images(const std::string& file, const DataOptions& options, int64_t limit) {
  Tensor raw = io::to_tensor(io::read_array(file));
  if (raw.dim() < 2 || raw.dim() > 4 || raw.numel() == 0) {
    throw DataError(file, "images [N, D], [N, H, W] or [N, C, H, W]", describe(raw));
  }
  if (raw.is_complex()) throw DataError(file, "real images", describe(raw));
  if (limit > 0) {
    if (limit > raw.size(0)) {
      throw InvalidArgument("limit", "at most " + std::to_string(raw.size(0)) + " samples",
                            std::to_string(limit), file);
    }
    raw = raw.narrow(0, 0, limit);
  }
  const bool integral = !raw.is_floating_point();
  // Always a copy: the file may be mapped, and what follows writes.
  Tensor images = raw.to(options.tensor.device(), c10::typeMetaToScalarType(options.tensor.dtype()),
                         /*non_blocking=*/false, /*copy=*/true);
  if (integral) images.div_(255);
  if (options.pool == 1) return images;
  if (images.dim() == 2) {
    const int64_t d = images.size(1);
    const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(d))));
    if (side * side != d) {
      throw InvalidArgument("pool", "images with height and width (or a square number of pixels)",
                            describe(raw), file);
    }
    images = images.view({-1, side, side});
  }
  if (images.size(-1) % options.pool != 0 || images.size(-2) % options.pool != 0) {
    throw InvalidArgument("pool",
                          "a divisor of height " + std::to_string(images.size(-2)) + " and width " +
                              std::to_string(images.size(-1)),
                          std::to_string(options.pool), file);
  }
  std::vector<int64_t> shape = images.sizes().vec();
  shape[shape.size() - 2] /= options.pool;
  shape[shape.size() - 1] /= options.pool;
  const Tensor planes = images.dim() == 3 ? images.unsqueeze(1) : images;
  return at::avg_pool2d(planes, {options.pool, options.pool}).view(shape);
}

/// Labels [N] int64, or floating targets [N, c]; as many as there are images, cut alike.
Tensor read_labels(const std::string& file, const std::string& images_file, int64_t images,
                   const DataOptions& options, int64_t limit) {
  Tensor raw = io::to_tensor(io::read_array(file));
  if (raw.dim() == 2 && raw.size(1) == 1) raw = raw.squeeze(1);
  if (raw.dim() != 1 && !(raw.dim() == 2 && raw.is_floating_point())) {
    throw DataError(file, "labels [N], or floating targets [N, c]", describe(raw));
  }
  // With a limit the image file may hold more; then only too few labels can be told.
  if (limit > 0 ? raw.size(0) < images : raw.size(0) != images) {
    throw DataError(file, std::to_string(images) + " labels, one for each image of " + images_file,
                    std::to_string(raw.size(0)));
  }
  raw = raw.narrow(0, 0, images);
  if (raw.dim() == 2) {
    return raw.to(options.tensor.device(), c10::typeMetaToScalarType(options.tensor.dtype()), false,
                  true);
  }
  const Tensor labels = raw.to(at::kLong);
  const Tensor wrong =
      (raw.is_floating_point() ? (labels.to(raw.scalar_type()) != raw) | (raw < 0) : labels < 0)
          .nonzero();
  if (wrong.numel() > 0) {
    const int64_t i = wrong[0].item<int64_t>();
    throw DataError(file, "labels 0, 1, 2, ...", number_text(raw[i].item<double>()),
                    "index " + std::to_string(i));
  }
  return labels.to(options.tensor.device());
}

std::string joined(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ",") + std::to_string(size);
  return text;
}

double number_of(const Metadata& metadata, const std::string& key) {
  const std::string& text = metadata.at(key);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    throw DataError("metadata " + key, "a number", text);
  }
  return value;
}

}  // namespace

std::vector<int64_t> LabelledData::input_shape() const {
  return inputs.sizes().slice(1).vec();
}

LabelledData load_labelled_data(const DataOptions& options) {
  check_at_least("pool", options.pool, 1);
  check_at_least("limit", options.limit, 0);
  check_at_least("test_limit", options.test_limit, 0);
  if (options.mean) check_in("mean", *options.mean, -1e30, 1e30);
  if (options.deviation) check_positive("deviation", *options.deviation);
  if (options.mean.has_value() != options.deviation.has_value()) {
    throw InvalidArgument("mean and deviation", "both or neither", "one of them");
  }
  IdxFiles files;
  if (options.data == "fashion-mnist" && !fs::exists(options.data)) {
    if (!fs::is_directory(kFashionMnist)) {
      throw DataError(kFashionMnist, "the data of Debian's package dataset-fashion-mnist",
                      "nothing");
    }
    files = idx_files(kFashionMnist);
  } else if (fs::is_directory(options.data)) {
    files = idx_files(options.data);
  } else {
    if (options.data.empty()) throw InvalidArgument("data", "a data set", "none");
    if (options.labels.empty()) {
      throw InvalidArgument("labels",
                            "an array file with a label for each image of " + options.data, "none");
    }
    if (options.test_data.empty() != options.test_labels.empty()) {
      throw InvalidArgument("test_data and test_labels", "both or neither", "one of them");
    }
    files = {options.data, options.labels, options.test_data, options.test_labels};
  }
  LabelledData data;
  data.inputs = read_images(files.images, options, options.limit);
  data.targets =
      read_labels(files.labels, files.images, data.inputs.size(0), options, options.limit);
  data.files = {files.images, files.labels};
  if (!files.test_images.empty()) {
    data.test_inputs = read_images(files.test_images, options, options.test_limit);
    data.test_targets = read_labels(files.test_labels, files.test_images, data.test_inputs.size(0),
                                    options, options.test_limit);
    data.files.insert(data.files.end(), {files.test_images, files.test_labels});
    if (data.test_inputs.sizes().slice(1) != data.inputs.sizes().slice(1) ||
        data.test_targets.sizes().slice(1) != data.targets.sizes().slice(1)) {
      throw DataError(files.test_images,
                      "samples of the shape in " + files.images + ", " + describe(data.inputs),
                      describe(data.test_inputs));
    }
  }
  if (!data.targets.is_floating_point()) {
    data.classes = 1 + data.targets.max().item<int64_t>();
    if (data.test_targets.defined()) {
      data.classes = std::max(data.classes, 1 + data.test_targets.max().item<int64_t>());
    }
  }
  if (options.mean) {
    data.mean = *options.mean;
    data.deviation = *options.deviation;
  } else if (options.standardise) {
    const auto [variance, mean] = at::var_mean(data.inputs.to(at::kDouble), /*unbiased=*/false);
    data.mean = mean.item<double>();
    data.deviation = std::sqrt(variance.item<double>());
    if (!(data.deviation > 0)) {
      throw DataError(files.images, "pixels that vary, to standardise them",
                      "deviation " + number_text(data.deviation));
    }
  }
  if (options.mean || options.standardise) {
    for (const Tensor& x : {data.inputs, data.test_inputs}) {
      if (x.defined()) x.sub_(data.mean).div_(data.deviation);
    }
  }
  return data;
}

Metadata data_metadata(const DataOptions& options, const LabelledData& data) {
  Metadata metadata{{"pool", std::to_string(options.pool)},
                    {"input_shape", joined(data.input_shape())}};
  if (data.classes > 0) metadata["outputs"] = std::to_string(data.classes);
  if (options.standardise || options.mean) {
    metadata["mean"] = number_text(data.mean);
    metadata["deviation"] = number_text(data.deviation);
  }
  return metadata;
}

void apply_metadata(const Metadata& metadata, DataOptions& options) {
  if (metadata.contains("pool")) {
    const double pool = number_of(metadata, "pool");
    if (!(pool >= 1 && pool <= 1 << 20 && pool == std::floor(pool))) {
      throw DataError("metadata pool", "a whole number >= 1", metadata.at("pool"));
    }
    options.pool = static_cast<int64_t>(pool);
  }
  if (metadata.contains("mean") && metadata.contains("deviation")) {
    options.mean = number_of(metadata, "mean");
    options.deviation = number_of(metadata, "deviation");
  }
}

}  // namespace ritz::nn
