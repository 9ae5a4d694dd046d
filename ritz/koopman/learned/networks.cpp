#include "ritz/koopman/learned/networks.h"

#include <torch/types.h>

#include <charconv>

#include "ritz/base/check_tensor.h"
#include "ritz/koopman/learned/products.h"
#include "ritz/nn/models.h"

namespace ritz::koopman::learned {
namespace {

constexpr const char* kGrammar =
    "mlp[:W-W...[:ACTIVATION]], conv[:W-W...] or attention[:WIDTH], widths >= 1";

class Dense : public nn::Linear {
 public:
  Dense(int64_t in, int64_t out, bool relu) : nn::Linear(in, out), relu_(relu) {}
  Tensor forward(const Tensor& x) override { return record(x, dense(x, weight, bias, relu_)); }

 private:
  const bool relu_;
};

/// A function of x without parameters.
class Map : public nn::Layer {
 public:
  explicit Map(std::function<Tensor(const Tensor&)> map) : map_(std::move(map)) {}
  Tensor forward(const Tensor& x) override { return map_(x); }

 private:
  std::function<Tensor(const Tensor&)> map_;
};

class Dropout : public nn::Layer {
 public:
  Dropout(double rate, std::shared_ptr<Noise> noise) : rate_(rate), noise_(std::move(noise)) {}
  Tensor forward(const Tensor& x) override {
    if (!is_training() || rate_ == 0) return x;
    const Tensor kept = noise_->uniform(x.sizes(), x.options()) >= rate_;
    return x * (kept.to(x.scalar_type()) / (1 - rate_));
  }

 private:
  const double rate_;
  const std::shared_ptr<Noise> noise_;
};

/// x [n, w, h, v]: attention among the tokens of each row, then of each column, then an MLP; each
/// behind a norm and beside a shortcut. O(hv (h + v)) scores instead of O((hv)^2).
class AxialAttention : public nn::Layer {
 public:
  explicit AxialAttention(int64_t width)
      : row_norm_(register_module("row_norm", std::make_shared<nn::LayerNorm>(width))),
        column_norm_(register_module("column_norm", std::make_shared<nn::LayerNorm>(width))),
        mlp_norm_(register_module("mlp_norm", std::make_shared<nn::LayerNorm>(width))),
        row_(register_module("row", std::make_shared<nn::SelfAttention>(width, heads(width)))),
        column_(
            register_module("column", std::make_shared<nn::SelfAttention>(width, heads(width)))),
        up_(register_module("up", std::make_shared<nn::Linear>(width, 2 * width))),
        down_(register_module("down", std::make_shared<nn::Linear>(2 * width, width))) {}
  Tensor forward(const Tensor& x) override {
    const int64_t n = x.size(0), w = x.size(1), h = x.size(2), v = x.size(3);
    Tensor y = x.permute({0, 2, 3, 1});  // [n, h, v, w]
    y = y + row_->forward(row_norm_->forward(y).reshape({n * h, v, w})).view({n, h, v, w});
    y = y + column_->forward(column_norm_->forward(y).transpose(1, 2).reshape({n * v, h, w}))
                .view({n, v, h, w})
                .transpose(1, 2);
    y = y + down_->forward(at::gelu(up_->forward(mlp_norm_->forward(y))));
    return y.permute({0, 3, 1, 2});
  }

 private:
  static int64_t heads(int64_t width) { return width % 16 == 0 ? width / 16 : 1; }
  std::shared_ptr<nn::LayerNorm> row_norm_, column_norm_, mlp_norm_;
  std::shared_ptr<nn::SelfAttention> row_, column_;
  std::shared_ptr<nn::Linear> up_, down_;
};

/// Names the layers of a Sequential by their number, as libtorch does.
class Stack {
 public:
  Stack& add(std::shared_ptr<nn::Layer> layer) {
    layers_->add(std::to_string(count_++), std::move(layer));
    return *this;
  }
  Stack& map(std::function<Tensor(const Tensor&)> f) {
    return add(std::make_shared<Map>(std::move(f)));
  }
  Stack& relu() { return add(nn::make_activation(nn::Activation::relu)); }
  Stack& conv(int64_t in, int64_t out, int64_t kernel) {
    return add(std::make_shared<nn::Conv2d>(
        in, out, nn::ConvOptions{.kernel = kernel, .padding = kernel / 2}));
  }
  Stack& linear(int64_t in, int64_t out, bool relu = false) {
    return add(std::make_shared<Dense>(in, out, relu));
  }
  std::shared_ptr<nn::Layer> take() { return std::move(layers_); }

 private:
  std::shared_ptr<nn::Sequential> layers_ = std::make_shared<nn::Sequential>();
  int count_ = 0;
};

void add_perceptron(Stack& stack, const std::vector<int64_t>& widths, nn::Activation kind) {
  for (size_t i = 0; i + 1 < widths.size(); ++i) {
    const bool last = i + 2 == widths.size();
    stack.linear(widths[i], widths[i + 1], !last && kind == nn::Activation::relu);
    if (!last && kind != nn::Activation::relu) stack.add(nn::make_activation(kind));
  }
}

int64_t product(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  return n;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

Networks mlp(std::vector<int64_t> widths, nn::Activation kind, const NetworkOptions& options) {
  const int64_t D = product(options.sample);
  std::vector<int64_t> back(widths.rbegin(), widths.rend());
  back.insert(back.begin(), options.latent);
  back.push_back(D);
  widths.insert(widths.begin(), D);
  widths.push_back(options.heads * options.latent);
  Stack encoder, decoder;
  const bool flat = options.sample.size() == 1;
  if (!flat) encoder.map([](const Tensor& x) { return x.flatten(1); });
  add_perceptron(encoder, widths, kind);
  add_perceptron(decoder, back, kind);
  if (!flat) {
    decoder.map([shape = options.sample](const Tensor& x) {
      std::vector<int64_t> whole = shape;
      whole.insert(whole.begin(), x.size(0));
      return x.view(whole);
    });
  }
  return {.encoder = encoder.take(), .decoder = decoder.take()};
}

void check_field(const NetworkOptions& options, int64_t multiple) {
  const auto& s = options.sample;
  if (s.size() == 3 && s[1] % multiple == 0 && s[2] % multiple == 0) return;
  throw InvalidArgument("network",
                        "frames [C, H, W] with H and W multiples of " + std::to_string(multiple),
                        shape_text(s));
}

Networks conv(const std::vector<int64_t>& widths, const NetworkOptions& options,
              const std::shared_ptr<Noise>& noise) {
  const auto levels = static_cast<int64_t>(widths.size()) - 1;
  check_field(options, int64_t{1} << levels);
  const int64_t C = options.sample[0], H = options.sample[1] >> levels,
                W = options.sample[2] >> levels, top = widths.back();
  Stack encoder;
  for (size_t i = 0; i < widths.size(); ++i) {
    encoder.conv(i == 0 ? C : widths[i - 1], widths[i], i == 0 ? 7 : i == 1 ? 5 : 3).relu();
    if (i + 1 < widths.size())
      encoder.map([](const Tensor& x) { return at::avg_pool2d(x, {2, 2}); });
  }
  encoder.add(std::make_shared<Dropout>(options.dropout, noise))
      .map([](const Tensor& x) { return x.flatten(1); })
      .linear(top * H * W, options.heads * options.latent);
  Stack decoder;
  decoder.linear(options.latent, top * H * W, true).map([=](const Tensor& x) {
    return x.view({-1, top, H, W});
  });
  for (size_t i = widths.size(); i-- > 0;) {
    if (i + 1 < widths.size()) {
      decoder.map([](const Tensor& x) {
        return at::upsample_bilinear2d(x, {2 * x.size(2), 2 * x.size(3)}, /*align_corners=*/false);
      });
    }
    decoder.conv(widths[i], i == 0 ? C : widths[i - 1], 3);
    if (i > 0) decoder.relu();
  }
  decoder.conv(C, 64, 1).relu().conv(64, 32, 1).relu().conv(32, C, 1);
  // The widest activation, two tensors of it, in about 32 MB: measured, 4 frames a call take 1.6
  // times as long, all of 68 a tenth longer.
  const int64_t frame =
      2 * options.sample[1] * options.sample[2] * std::max(widths[0], int64_t{64});
  return {.encoder = encoder.take(),
          .decoder = decoder.take(),
          .piece = std::max<int64_t>(4, (int64_t{8} << 20) / frame)};
}

Networks attention(int64_t width, const NetworkOptions& options) {
  check_field(options, 4);
  const int64_t C = options.sample[0], H = options.sample[1] / 4, W = options.sample[2] / 4;
  const int64_t stem = std::max<int64_t>(1, width / 2);
  Stack encoder;
  encoder.conv(C, stem, 3)
      .relu()
      .add(std::make_shared<nn::Conv2d>(stem, width, nn::ConvOptions{.kernel = 4, .stride = 4}))
      .add(std::make_shared<AxialAttention>(width))
      .map([](const Tensor& x) { return x.flatten(1); })
      .linear(width * H * W, options.heads * options.latent);
  const auto shuffle = [](const Tensor& x) { return at::pixel_shuffle(x, 2); };
  Stack decoder;
  decoder.linear(options.latent, width * H * W, true)
      .map([=](const Tensor& x) {
        return x.view({-1, width, H, W});
      })
      .conv(width, 4 * stem, 3)
      .map(shuffle)
      .relu()
      .conv(stem, 4 * C, 3)
      .map(shuffle);
  const int64_t frame = 2 * options.sample[1] * options.sample[2] * stem;
  return {.encoder = encoder.take(),
          .decoder = decoder.take(),
          .piece = std::max<int64_t>(4, (int64_t{8} << 20) / frame)};
}

std::vector<int64_t> parse_widths(const std::string& text, const std::string& whole) {
  std::vector<int64_t> widths;
  for (size_t from = 0; from <= text.size();) {
    const size_t to = std::min(text.find('-', from), text.size());
    int64_t width = 0;
    const auto [end, error] = std::from_chars(text.data() + from, text.data() + to, width);
    if (error != std::errc{} || end != text.data() + to || width < 1) {
      throw InvalidArgument("network", kGrammar, whole);
    }
    widths.push_back(width);
    from = to + 1;
  }
  return widths;
}

}  // namespace

void Noise::start(uint64_t seed, uint64_t rank, uint64_t step) {
  stream_ = std::make_unique<RandomStream>(stream_id("koopman/noise", seed),
                                           stream_id("koopman/step", step) ^ (rank << 48));
}

Tensor Noise::normal(at::IntArrayRef shape, const TensorOptions& options) {
  if (!stream_) throw InvalidArgument("noise", "a call of start before training", "none");
  return stream_->normal(shape, options);
}

Tensor Noise::uniform(at::IntArrayRef shape, const TensorOptions& options) {
  if (!stream_) throw InvalidArgument("noise", "a call of start before training", "none");
  return stream_->uniform(shape, options);
}

Networks make_networks(const std::string& description, const NetworkOptions& options) {
  check_at_least("latent", options.latent, 1);
  check_range("heads", options.heads, 1, 2);
  check_in("dropout", options.dropout, 0, 0.99);
  if (options.sample.empty() || product(options.sample) < 1) {
    throw InvalidArgument("sample", "a shape [D] or [C, H, W]", shape_text(options.sample));
  }
  const size_t colon = description.find(':');
  const std::string kind = description.substr(0, colon);
  std::string rest = colon == std::string::npos ? "" : description.substr(colon + 1);
  const auto noise = std::make_shared<Noise>();
  Networks nets;
  if (kind == "mlp") {
    nn::Activation activation = nn::Activation::relu;
    const size_t second = rest.find(':');
    if (second != std::string::npos) {
      activation = nn::parse_activation(rest.substr(second + 1));
      rest.resize(second);
    }
    nets = mlp(parse_widths(colon == std::string::npos ? "128-128" : rest, description), activation,
               options);
  } else if (kind == "conv") {
    const auto widths =
        parse_widths(colon == std::string::npos ? "16-32-64-128-256" : rest, description);
    if (widths.size() > 20) throw InvalidArgument("network", "at most 20 widths", description);
    nets = conv(widths, options, noise);
  } else if (kind == "attention") {
    const auto widths = parse_widths(colon == std::string::npos ? "64" : rest, description);
    if (widths.size() != 1) throw InvalidArgument("network", kGrammar, description);
    nets = attention(widths[0], options);
  } else {
    throw InvalidArgument("network", kGrammar, description);
  }
  nets.noise = noise;
  nn::initialise(*nets.encoder, stream_id("koopman/encoder", options.seed));
  nn::initialise(*nets.decoder, stream_id("koopman/decoder", options.seed));
  return nets;
}

Tensor apply_in_pieces(nn::Layer& layer, const Tensor& x, int64_t piece) {
  if (piece < 1 || x.size(0) <= piece) return layer.forward(x);
  std::vector<Tensor> parts;
  for (int64_t at = 0; at < x.size(0); at += piece) {
    parts.push_back(layer.forward(x.narrow(0, at, std::min(piece, x.size(0) - at))));
  }
  return at::cat(parts);
}

}  // namespace ritz::koopman::learned
