#include "ritz/sequence/model/layer.h"

#include <torch/types.h>

#include <algorithm>

#include "ritz/base/check_tensor.h"

namespace ritz::sequence {

std::string mode_name(Mode mode) {
  return mode == Mode::convolution ? "convolution" : mode == Mode::scan ? "scan" : "step";
}

Tensor Layer::forward(const Tensor& u, const Tensor& lengths, Mode mode) {
  check_dim("u", u, 3);
  if (u.size(2) != width) {
    throw InvalidArgument("u", std::to_string(width) + " channels", describe(u));
  }
  check_at_least("steps of u", u.size(1), 1);
  if (mode == Mode::step) check_streams();
  if (std::find(modes.begin(), modes.end(), mode) == modes.end()) {
    std::string known;
    for (const Mode each : modes) known += (known.empty() ? "" : ", ") + mode_name(each);
    throw Unsupported(name + ": has no mode " + mode_name(mode) + " but " + known);
  }
  if (mode == Mode::step && mode != modes.front()) {
    const at::NoGradGuard no_graph;
    const auto steps = stream(u.size(0));
    std::vector<Tensor> y;
    for (int64_t t = 0; t < u.size(1); ++t) y.push_back(steps->push(u.select(1, t)));
    return at::stack(y, 1);
  }
  return respond(u, lengths, mode);
}

std::unique_ptr<LayerStream> Layer::stream(int64_t n) const {
  check_at_least("n", n, 1);
  check_streams();
  return make_stream(n);
}

void Layer::check_streams() const {
  if (!bidirectional) return;
  throw Unsupported(name +
                    ": a bidirectional model has no step mode, for its answer depends on what is "
                    "still to come");
}

}  // namespace ritz::sequence
