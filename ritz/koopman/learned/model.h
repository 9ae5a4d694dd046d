#pragma once
// A Koopman model: encoder, linear map of the latents (with controls, between related objects),
// decoder. Deterministic (autoencoder) or Gaussian (variational) latents.
//
//     #include "ritz/koopman/learned/model.h"
//     #include <torch/types.h>
//     int main() {
//       using namespace ritz::koopman::learned;
//       Model model({.network = "mlp:16", .sample = {3}, .latent = 4});
//       const auto future = model.forecast(torch::ones({2, 3}), 10);  // [2, 10, 3]
//       return future.size(1) == 10 ? 0 : 1;
//     }
#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ritz/koopman/learned/networks.h"
#include "ritz/koopman/learned/operator.h"

namespace ritz::koopman::learned {

/// How latents go on: by K, by a nonlinear map z + MLP(z) (the VAE baseline), or as PFNN
/// (reconstructed): by a contraction in the first `transient` frames, by a free matrix that the
/// loss keeps near unitary on the attractor.
enum class Transition { linear, nonlinear, pfnn };

struct ModelOptions {
  std::string network = "mlp:128-128";
  std::vector<int64_t> sample = {};  // shape of a frame, of one object where there are several
  int64_t latent = 16;               // d, of one object
  OperatorKind op = OperatorKind::stable;
  bool variational = false;
  Transition transition = Transition::linear;
  int64_t actions = 0;    // m: z' = K z + B a
  int64_t transient = 0;  // pfnn: frames of a trajectory before its attractor
  /// Relation types r(i, j) of objects, int64 [n, n], values in [0, relation_types); empty: a frame
  /// is one state. Then z'_i = sum_j K_{r(i, j)} z_j + sum_j B_{r(i, j)} a_j: K(A) = sum_r A_r (x)
  /// K_r.
  Tensor relations = {};
  int64_t relation_types = 0;  // 0: the largest id + 1
  double ridge = 0.1;          // of a ridge operator
  double dropout = 0.1;        // conv
  uint64_t seed = 0;
  TensorOptions tensor = {};  // dtype (float32 default) and device
};

/// Latents with, where they are distributions, their deviations.
struct Latents {
  Tensor mean;           // [n, (objects,) d]
  Tensor log_deviation;  // the same, or undefined
};

/// The linear map in force: K [d, R d] (R relation types, else 1), B [d, R m] or undefined.
struct LinearMap {
  Tensor K, B;
};

class Model : public torch::nn::Module {
 public:
  explicit Model(ModelOptions options);
  const ModelOptions& options() const { return options_; }
  TensorOptions tensor_options() const;
  bool graph() const { return options_.relations.defined(); }

  /// Raw frames to the scale of training, and back. They are the identity until `set_scale`.
  Tensor standardise(const Tensor& x) const { return (x - mean_) / deviation_; }
  Tensor restore(const Tensor& x) const { return x * deviation_ + mean_; }
  /// Broadcast against one frame; deviations > 0.
  void set_scale(const Tensor& mean, const Tensor& deviation);

  /// Of standardised frames [n, (objects,) sample...]; n calls of the encoder in as few as its
  /// network is fast with.
  Latents encode(const Tensor& x);
  /// Standardised frames of latents [n, (objects,) d].
  Tensor decode(const Tensor& z);

  /// Latents and actions side by side as the linear map takes them: [..., d + m], or, between
  /// objects, per object the sums over each relation type [..., n, R d + R m].
  Tensor features(const Tensor& z, const Tensor& actions) const;
  LinearMap linear_map() const;
  /// K [d, d], or [R, d, d] between objects; of pfnn the one on the attractor. InvalidArgument
  /// where the latent map is nonlinear.
  Tensor koopman_matrix() const;
  /// The matrix of a whole frame: koopman_matrix(), or sum_r A_r (x) K_r [n d, n d].
  Tensor frame_matrix() const;
  /// One step of latents [..., (objects,) d] by `map`; actions [..., (objects,) m] or undefined.
  /// `transient` [...]: where pfnn's contraction takes the place of K, or undefined.
  Tensor advance(const Tensor& z, const Tensor& actions, const LinearMap& map,
                 const Tensor& transient = {}) const;
  /// [N, H, (objects,) d]: the latents after 1..H steps from z [N, (objects,) d], without encoding
  /// again. actions [N, H, (objects,) m]. `time`: frame of z in its trajectory (pfnn).
  Tensor rollout(const Tensor& z, int64_t steps, const Tensor& actions = {},
                 std::optional<int64_t> time = {}) const;
  /// [N, H, (objects,) sample...]: what follows raw frames x [N, (objects,) sample...]; no
  /// gradient.
  Tensor forecast(const Tensor& x, int64_t steps, const Tensor& actions = {},
                  std::optional<int64_t> time = {});

  /// A ridge operator's solution over features [n, p] and next latents [n, d].
  void set_ridge(const Tensor& solution);
  /// log of the transition's standard deviations [d] (variational).
  const Tensor& log_transition() const { return log_transition_; }
  /// The relations of other objects of the same types; their number may differ.
  void set_relations(const Tensor& relations);
  Noise& noise() { return *nets_.noise; }

 private:
  void check_actions(const Tensor& z, const Tensor& actions) const;

  ModelOptions options_;
  Networks nets_;
  std::shared_ptr<Operator> operator_, contraction_;
  std::shared_ptr<nn::Layer> nonlinear_;
  Tensor K_;  // between objects [d, R d]
  Tensor B_, log_transition_, mean_, deviation_, adjacency_;
};

}  // namespace ritz::koopman::learned
