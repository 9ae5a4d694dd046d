#pragma once
// The recurrent baseline: a gated unit (Cho et al. 2014, in libtorch's form) of S states with a
// linear map back to H channels, in the place of a state-space layer.
#include "ritz/sequence/model/layer.h"
#include "ritz/sequence/model/options.h"

namespace ritz::sequence {

/// h_t = GRU(u_t, h_{t-1}), y_t = W h_t; one unit a direction. Its only way is step by step, with
/// gradients; bidirectional, which needs the whole sequence, it is called scan.
class GruLayer : public Layer {
 public:
  explicit GruLayer(const LayerOptions& options);

 private:
  Tensor respond(const Tensor& u, const Tensor& lengths, Mode mode) override;
  std::unique_ptr<LayerStream> make_stream(int64_t n) const override;

  struct Unit {
    std::vector<Tensor> cell;  // w_ih [3 S, H], w_hh [3 S, S], b_ih [3 S], b_hh [3 S]
    Tensor out;                // [H, S]
  };
  const int64_t states_;
  std::vector<Unit> units_;
};

}  // namespace ritz::sequence
