#include "ritz/nn/models.h"

#include <torch/types.h>

#include <charconv>
#include <filesystem>
#include <numeric>

#include "ritz/base/check.h"
#include "ritz/nn/wrap.h"

namespace ritz::nn {
namespace {

constexpr const char* kGrammar =
    "mlp:WIDTH-...-WIDTH[:ACTIVATION], cnn:WIDTH-...-WIDTH, resnet:DEPTH, transformer:LAYERSxWIDTH "
    "or a "
    "TorchScript file";

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || text[i] == at) {
      parts.push_back(text.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  return parts;
}

/// Positive integers separated by `at`; the whole description stands in the error.
std::vector<int64_t> numbers(const std::string& text, char at, const std::string& description) {
  std::vector<int64_t> values;
  for (const auto& part : split(text, at)) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size() || value < 1 ||
        value > 1'000'000) {
      throw InvalidArgument("model", kGrammar, description,
                            "'" + part + "' is no whole number from 1 to 1000000");
    }
    values.push_back(value);
  }
  return values;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

/// The sample's shape as [C, H, W].
std::vector<int64_t> image_shape(const std::string& description,
                                 const std::vector<int64_t>& shape) {
  for (const int64_t size : shape) check_at_least("input_shape", size, 1);
  if (shape.size() == 3) return shape;
  if (shape.size() == 2) return {1, shape[0], shape[1]};
  if (shape.size() == 1) {
    const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(shape[0]))));
    if (side * side == shape[0]) return {1, side, side};
  }
  throw InvalidArgument("input_shape",
                        "[C, H, W], [H, W] or [D] with D a square, for " + description,
                        shape_text(shape));
}

std::shared_ptr<Layer> stage(Stage s) {
  return std::make_shared<StageLayer>(std::move(s));
}

std::shared_ptr<Conv2d> conv3x3(int64_t in, int64_t out, int64_t stride) {
  return std::make_shared<Conv2d>(in, out,
                                  ConvOptions{.stride = stride, .padding = 1, .bias = false});
}

std::shared_ptr<Layer> mlp(const std::string& description, const ModelOptions& options) {
  const auto parts = split(description, ':');
  if (parts.size() < 2 || parts.size() > 3) throw InvalidArgument("model", kGrammar, description);
  const auto widths = numbers(parts[1], '-', description);
  if (widths.size() < 2) {
    throw InvalidArgument("model", kGrammar, description, "an mlp has at least two widths");
  }
  const auto kind = parts.size() == 3 ? parse_activation(parts[2]) : Activation::relu;
  const auto& shape = options.input_shape;
  const int64_t size = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  if (!shape.empty() && size != widths[0]) {
    throw InvalidArgument("input_shape", std::to_string(widths[0]) + " inputs for " + description,
                          shape_text(shape) + " (" + std::to_string(size) + ")");
  }
  auto layers =
      std::make_shared<Sequential>();  // numbered as a Sequential of linear and activation
  int64_t place = 0;
  for (size_t i = 0; i + 1 < widths.size(); ++i) {
    if (i > 0) layers->add(std::to_string(place++), make_activation(kind));
    layers->add(std::to_string(place++), std::make_shared<Linear>(widths[i], widths[i + 1]));
  }
  auto net = std::make_shared<Sequential>();
  net->add("flatten", stage(FlattenStage{})).add("layers", layers);
  return net;
}

std::shared_ptr<Layer> cnn(const std::string& description, const ModelOptions& options) {
  const auto parts = split(description, ':');
  if (parts.size() != 2) throw InvalidArgument("model", kGrammar, description);
  const auto widths = numbers(parts[1], '-', description);
  const auto image = image_shape(description, options.input_shape);
  auto net = std::make_shared<Sequential>();
  net->add("image", stage(ReshapeStage{image}));
  int64_t in = image[0];
  for (size_t i = 0; i < widths.size(); ++i) {
    const std::string n = std::to_string(i + 1);
    const bool residual = i > 0 && widths[i] == in;
    const auto conv = conv3x3(in, widths[i], i == 0 || residual ? 1 : 2);
    const auto norm = std::make_shared<BatchNorm2d>(widths[i]);
    if (residual) {
      net->add("block" + n, std::make_shared<Residual>(
                                std::vector<Residual::Part>{{"conv", conv}, {"bn", norm}}));
    } else {
      net->add("conv" + n, conv).add("bn" + n, norm);
    }
    net->add("relu" + n, make_activation(Activation::relu));
    in = widths[i];
  }
  net->add("pool", stage(AveragePoolStage{0}))
      .add("fc", std::make_shared<Linear>(in, options.outputs));
  return net;
}

std::shared_ptr<Layer> resnet_block(int64_t in, int64_t out, int64_t stride) {
  std::vector<Residual::Part> shortcut;
  if (stride != 1 || in != out) {
    auto projection = std::make_shared<Sequential>();
    projection->add("0", std::make_shared<Conv2d>(
                             in, out, ConvOptions{.kernel = 1, .stride = stride, .bias = false}));
    projection->add("1", std::make_shared<BatchNorm2d>(out));
    shortcut.emplace_back("downsample", projection);
  }
  return std::make_shared<Residual>(
      std::vector<Residual::Part>{{"conv1", conv3x3(in, out, stride)},
                                  {"bn1", std::make_shared<BatchNorm2d>(out)},
                                  {"relu", make_activation(Activation::relu)},
                                  {"conv2", conv3x3(out, out, 1)},
                                  {"bn2", std::make_shared<BatchNorm2d>(out)}},
      std::move(shortcut));
}

std::shared_ptr<Layer> resnet(const std::string& description, const ModelOptions& options) {
  const auto parts = split(description, ':');
  if (parts.size() != 2) throw InvalidArgument("model", kGrammar, description);
  const auto depth = numbers(parts[1], '-', description);
  if (depth.size() != 1 || depth[0] < 8 || (depth[0] - 2) % 6 != 0) {
    throw InvalidArgument("model", "resnet:DEPTH with DEPTH = 6 n + 2 (8, 14, 20, ...)",
                          description);
  }
  const auto image = image_shape(description, options.input_shape);
  auto net = std::make_shared<Sequential>();
  net->add("image", stage(ReshapeStage{image})).add("conv1", conv3x3(image[0], 16, 1));
  net->add("bn1", std::make_shared<BatchNorm2d>(16)).add("relu", make_activation(Activation::relu));
  int64_t in = 16;
  for (int64_t s = 0; s < 3; ++s) {
    const int64_t width = 16 << s;
    auto layer = std::make_shared<Sequential>();
    for (int64_t b = 0; b < (depth[0] - 2) / 6; ++b) {
      layer->add(std::to_string(b), resnet_block(in, width, s > 0 && b == 0 ? 2 : 1));
      layer->add("relu" + std::to_string(b), make_activation(Activation::relu));
      in = width;
    }
    net->add("layer" + std::to_string(s + 1), layer);
  }
  net->add("pool", stage(AveragePoolStage{0}))
      .add("fc", std::make_shared<Linear>(in, options.outputs));
  return net;
}

/// [n, ...] -> [n, H, C W]: the rows of an image as tokens.
std::shared_ptr<Layer> image_rows(const std::vector<int64_t>& image) {
  auto rows = std::make_shared<Sequential>();
  rows->add("image", stage(ReshapeStage{image})).add("rows", stage(TransposeStage{}));
  rows->add("tokens", stage(ReshapeStage{{image[1], image[0] * image[2]}}));
  return rows;
}

std::shared_ptr<Layer> transformer(const std::string& description, const ModelOptions& options) {
  const auto parts = split(description, ':');
  if (parts.size() != 2) throw InvalidArgument("model", kGrammar, description);
  const auto sizes = numbers(parts[1], 'x', description);
  if (sizes.size() != 2) throw InvalidArgument("model", kGrammar, description);
  const int64_t width = sizes[1], heads = width % 16 == 0 ? width / 16 : 1;
  const auto image = image_shape(description, options.input_shape);
  auto net = std::make_shared<Sequential>();
  net->add("rows", image_rows(image));
  net->add("embed", std::make_shared<Linear>(image[0] * image[2], width));
  net->add("position", std::make_shared<PositionEmbedding>(image[1], width));
  for (int64_t i = 0; i < sizes[0]; ++i) {
    const std::string n = std::to_string(i);
    net->add("attention" + n, std::make_shared<Residual>(std::vector<Residual::Part>{
                                  {"norm", std::make_shared<LayerNorm>(width)},
                                  {"self_attn", std::make_shared<SelfAttention>(width, heads)}}));
    net->add("mlp" + n, std::make_shared<Residual>(std::vector<Residual::Part>{
                            {"norm", std::make_shared<LayerNorm>(width)},
                            {"linear1", std::make_shared<Linear>(width, 2 * width)},
                            {"gelu", make_activation(Activation::gelu)},
                            {"linear2", std::make_shared<Linear>(2 * width, width)}}));
  }
  net->add("norm", std::make_shared<LayerNorm>(width)).add("mean", stage(TokenMeanStage{}));
  net->add("fc", std::make_shared<Linear>(width, options.outputs));
  return net;
}

}  // namespace

Activation parse_activation(const std::string& name) {
  const std::pair<const char*, Activation> table[] = {
      {"identity", Activation::identity}, {"relu", Activation::relu},
      {"tanh", Activation::tanh},         {"gelu", Activation::gelu},
      {"sigmoid", Activation::sigmoid},   {"softplus", Activation::softplus},
      {"silu", Activation::silu}};
  for (const auto& [text, kind] : table) {
    if (name == text) return kind;
  }
  throw InvalidArgument("activation", "relu, tanh, gelu, sigmoid, softplus, silu or identity",
                        name);
}

Network make_network(const std::string& description, const ModelOptions& options) {
  check_at_least("outputs", options.outputs, 1);
  const std::string family = description.substr(0, description.find(':'));
  std::shared_ptr<Layer> layer;
  if (family == "mlp") {
    layer = mlp(description, options);
  } else if (family == "cnn") {
    layer = cnn(description, options);
  } else if (family == "resnet") {
    layer = resnet(description, options);
  } else if (family == "transformer") {
    layer = transformer(description, options);
  } else if (std::filesystem::is_regular_file(description)) {
    return load_torchscript(description, options.tensor);
  } else {
    throw InvalidArgument("model", kGrammar, description);
  }
  const auto dtype = c10::typeMetaToScalarType(options.tensor.dtype());
  if (dtype != at::kFloat && dtype != at::kDouble) {
    throw InvalidArgument("dtype", "float32 or float64", c10::toString(dtype));
  }
  layer->to(options.tensor.device(), dtype);
  initialise(*layer, options.seed);
  return wrap(std::move(layer), description);
}

}  // namespace ritz::nn
