#pragma once
// The state-space layers. Sampled with step Delta, a state-space system x' = A x + B u, y = Re(C x)
// + D u is a convolution and a recurrence at once (Gu, Goel, Re 2022); the layers differ in what A
// is and in how many inputs share a state:
//
//   s4d*, s4-ptd   A diagonal, N stored states a channel, channels apart (the mixing joins them)
//   s4             A diagonal minus P P^*: HiPPO itself; bilinear
//   s5, s5-ptd     A diagonal, P states, all channels in and out of them
//
// Parameters, as a model file has them (complex ones end in an axis of 2; S = systems, 1 or 2
// directions):
//
//   A_real, A_imag  [S, N] ([P])     Re = -exp(A_real), or A_real cut at -1e-4
//   B               [S, N, 2] ([P, H, 2])
//   P               [S, N, 2]        s4 alone
//   C               [directions, H, N, 2], or real [directions, H, n] in HiPPO's coordinates
//   D               [H]
//   log_dt          [H], [H, N] ([P])
//   basis [n, N, 2], weights [N]     buffers: C W, and 2 for one of a conjugate pair, else 1
//
// A frozen part is a parameter without gradient. Both directions of a bidirectional layer share A,
// B and Delta (S4's and S5's code).
#include "ritz/sequence/model/layer.h"
#include "ritz/sequence/model/options.h"

namespace ritz::sequence {

/// Any layer, the GRU among them, from its options. InvalidArgument where they do not fit the kind:
/// blocks that do not divide the states, a discretisation that s4 does not have, dt_min <= 0, ...
std::shared_ptr<Layer> make_layer(const LayerOptions& options);

/// A and Delta of a state-space layer.
class StateSpaceLayer : public Layer {
 public:
  /// m, complex, of the parameters as they are: [S, N], or [P].
  Tensor eigenvalues() const;
  /// Delta: [H], [H, N] or [P], float64.
  Tensor steps() const;
  /// Stored states, as LayerOptions::stored has it.
  int64_t stored() const { return stored_; }
  /// max |Im m| Delta: above pi the fastest state is aliased.
  double phase() const;

 protected:
  StateSpaceLayer(const LayerOptions& options, std::vector<Mode> modes);
  /// Registers A_real, A_imag, log_dt, C, D, basis and weights.
  void register_system(const DiagonalSystem& system, int64_t systems);
  void register_complex(const char* name, Tensor& field, const Tensor& start, bool frozen);
  Tensor respond(const Tensor& u, const Tensor& lengths, Mode mode) final;
  /// The same, of parameters that are finite.
  virtual Tensor answer(const Tensor& u, const Tensor& lengths, Mode mode) = 0;
  /// C [directions, H, N] complex, in the coordinates of the eigenvectors, without weights.
  Tensor output_map() const;

  LayerOptions options_;
  int64_t stored_ = 0;
  Tensor A_real_, A_imag_, B_, C_, D_, log_dt_, basis_, weights_;
};

}  // namespace ritz::sequence
