#pragma once
// A layer over time: what every state-space layer and the recurrent baseline have in common. The
// layers are libtorch modules, [n, L, H] to [n, L, H], and stand in any network of the user's:
//
//     #include "ritz/sequence/model/ssm_layers.h"
//     #include <torch/nn.h>
//     #include <torch/types.h>
//     struct Mine : torch::nn::Module {
//       std::shared_ptr<ritz::sequence::Layer> ssm = register_module(
//           "ssm", ritz::sequence::make_layer({.kind = ritz::sequence::LayerKind::s4_ptd, .width = 3, .states = 8}));
//       torch::nn::Linear out = register_module("out", torch::nn::Linear(3, 2));
//       torch::Tensor forward(const torch::Tensor& u) { return out(ssm->forward(u).relu().mean(1)); }
//     };
//     int main() {
//       Mine net;
//       const auto u = torch::linspace(-1, 1, 2 * 50 * 3).view({2, 50, 3});  // [n, L, H]
//       net.forward(u).sum().backward();
//       const auto stream = net.ssm->stream(2);  // the same layer, a step at a time
//       torch::Tensor y;
//       for (int t = 0; t < 50; ++t) y = stream->push(u.select(1, t));
//       return torch::allclose(y, net.ssm->forward(u).select(1, 49), 1e-4, 1e-5) ? 0 : 1;
//     }
#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "ritz/base/tensor.h"

namespace ritz::sequence {

/// How a layer is computed; all ways that it has give the same answer up to rounding.
enum class Mode {
  convolution,  // the kernel of the whole length, applied by FFT
  scan,         // the recurrence over all steps at once
  step          // the recurrence a step at a time: what a stream does; without gradients where
                // there is another way
};
std::string mode_name(Mode mode);

/// A layer at work on a stream of steps. It holds a copy of what the layer's parameters were when
/// it was made.
class LayerStream {
 public:
  virtual ~LayerStream() = default;
  /// u_t [n, H] to y_t [n, H].
  virtual Tensor push(const Tensor& u) = 0;
  /// All that the future depends on beside the parameters, for each of the n sequences: copies; and
  /// back.
  virtual std::vector<Tensor> state() const = 0;
  virtual void set_state(const std::vector<Tensor>& state) = 0;
  /// Begins new sequences.
  virtual void reset() = 0;
};

class Layer : public torch::nn::Module {
 public:
  Layer(std::string name, std::vector<Mode> modes, int64_t width, bool bidirectional)
      : name(std::move(name)),
        modes(std::move(modes)),
        width(width),
        bidirectional(bidirectional) {}

  /// y [n, L, H] of u [n, L, H], by the layer's first way or by the one given. A bidirectional
  /// layer adds the answer to each sequence reversed within its length, reversed back. What comes
  /// out beyond a length means nothing, and what goes in there (finite numbers) changes nothing
  /// else. Throws Unsupported for a mode that the layer lacks.
  Tensor forward(const Tensor& u, const Tensor& lengths = {}) {
    return forward(u, lengths, modes.front());
  }
  Tensor forward(const Tensor& u, const Tensor& lengths, Mode mode);
  /// A stream of n sequences; throws Unsupported where the layer is bidirectional.
  std::unique_ptr<LayerStream> stream(int64_t n) const;

  /// Steps Delta [H] of the channels where the layer has them; else undefined.
  virtual Tensor channel_steps() const { return {}; }

  const std::string name;         // "s4-ptd"
  const std::vector<Mode> modes;  // the first is the one for training
  const int64_t width;            // H
  const bool bidirectional;

 protected:
  /// The answer in a mode that the layer has, arguments checked; never by a stream.
  virtual Tensor respond(const Tensor& u, const Tensor& lengths, Mode mode) = 0;
  virtual std::unique_ptr<LayerStream> make_stream(int64_t n) const = 0;

 private:
  void check_streams() const;
};

}  // namespace ritz::sequence
