#pragma once
// The linear map of a Koopman model and the ways to parametrise it. Column convention
// z_{n+1} = K z_n; latents are rows, so that a step of many is Z K^T.
//
//     #include "ritz/koopman/learned/operator.h"
//     #include <torch/types.h>
//     int main() {
//       using namespace ritz::koopman::learned;
//       const Operator stable({.kind = OperatorKind::stable, .latent = 6, .seed = 1});
//       const auto K = stable.matrix();
//       return torch::linalg_matrix_norm(K, 2).item<double>() <= 1 + 1e-6 ? 0 : 1;
//     }
#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "ritz/base/tensor.h"

namespace ritz::dist {
class ProcessGroup;
}

namespace ritz::koopman::learned {

enum class OperatorKind {
  learned,    // a free matrix, I + 0.01 N(0, 1) at first
  ridge,      // least squares on the latents of each batch; no parameters
  stable,     // diag(sigmoid(a)) expm(S - S^T): spectral norm <= 1; a = 5, S = 0.3 N(0, 1) at first
  blockdiag,  // 2 x 2 blocks r R(theta), r = sigmoid(a): O(d) a step; odd d has one real block
  unitary,    // expm(S - S^T)
};
OperatorKind parse_operator(std::string_view name);
std::string_view name_of(OperatorKind kind);

struct OperatorOptions {
  OperatorKind kind = OperatorKind::stable;
  int64_t latent = 16;  // d
  uint64_t seed = 0;
};

/// The parameters of K (module names `matrix`; `decay`, `rotation`; `decay`, `angle`) and K itself
/// as a differentiable function of them. A ridge operator has the buffer `matrix` instead, which
/// training and the last solve over all data fill in.
class Operator : public torch::nn::Module {
 public:
  explicit Operator(const OperatorOptions& options);
  OperatorKind kind() const { return kind_; }
  int64_t latent() const { return latent_; }
  /// K [d, d], with its graph.
  Tensor matrix() const;
  /// z [..., d] after one step. blockdiag: 4 flops a coordinate, without K.
  Tensor advance(const Tensor& z) const;
  /// [N, H, d]: K z, ..., K^H z of z [N, d]. blockdiag: powers in closed form, O(H d) a row.
  Tensor rollout(const Tensor& z, int64_t steps) const;
  /// ridge: K from now on.
  void set_matrix(const Tensor& K);

 private:
  Tensor blocks(const Tensor& steps) const;

  OperatorKind kind_;
  int64_t latent_;
  Tensor matrix_, decay_, rotation_, angle_;
};

/// e^A for A [d, d], from products alone: scaling, a Taylor polynomial of degree 8 in four
/// products, squaring. Its gradient costs twice the function (libtorch's own: an exponential of
/// order 2 d, eight times).
Tensor matrix_exponential(const Tensor& A);

/// [N, H, d]: K z, ..., K^H z. Doubling: the states up to h times K^h give those up to 2 h, so that
/// there are log2 H large products instead of H thin ones, and log2 H squarings of K.
Tensor rollout(const Tensor& K, const Tensor& z, int64_t steps);

struct RidgeOptions {
  double ridge = 0.1;
  /// No gradient flows through K into the latents. (the published code's way; its encoder never
  /// learns from K)
  bool detach = false;
  /// Ranks whose mean K it is; its gradient is theirs together.
  dist::ProcessGroup* group = nullptr;
};

/// The mean over sequences of K_b^T = (Z^T Z + ridge I)^{-1} Z^T Y for inputs Z and outputs Y
/// [B, T, d]; where T < d the equal Z^T (Z Z^T + ridge I)^{-1} Y (push-through), B (T^2 d + T^3)
/// flops and one product over all sequences: no [B, d, d] is formed.
Tensor ridge_matrix(const Tensor& inputs, const Tensor& outputs, const RidgeOptions& options = {});

/// K of all data at once: sums G = sum z z^T, A = sum z y^T over as many calls as there are, then
/// K^T = (G + ridge I)^{-1} A. In float64.
class RidgeSums {
 public:
  RidgeSums(int64_t inputs, int64_t outputs);
  /// Rows z [n, p], y [n, q].
  void add(const Tensor& z, const Tensor& y);
  /// Over all ranks: 2 d^2 numbers and their count.
  void reduce(dist::ProcessGroup& group);
  /// [q, p]. Throws InvalidArgument where nothing was added.
  Tensor solve(double ridge = 0.1) const;

 private:
  Tensor G_, A_, rows_;
};

}  // namespace ritz::koopman::learned
