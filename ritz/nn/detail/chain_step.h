#pragma once
// The steps of a chain for one part of a batch: what each keeps, and its four rules
// (chain_kernels.h). Blocks of k tangents of n samples are tensors [k, n, ...] whose strides are
// each step's choice: linear steps store them sample by sample, [n, k, features], because then all
// their products are plain ones of matrices, for all tangents at once and without a transposition;
// convolutions tangent by tangent, [k n, ...], as more samples. Pointwise steps keep what they
// find. An undefined tensor is a structural zero: nothing is computed from it.
//
// The parts of a batch are dealt to lanes, which run side by side: steps of different lanes share
// what is read (values and tangents of the weights) and each add to sums of their own.
#include <memory>
#include <vector>

#include "ritz/nn/detail/chain_weights.h"

namespace ritz::nn::detail {

/// How far a block goes.
struct Block {
  int64_t k = 1;              // tangents
  bool second_order = false;  // keep R x going forward; add the terms with dy going backward
};

/// A gradient and its tangents, both in a step's output or both in its input.
struct Dual {
  Tensor value;    // dy [n, ...]
  Tensor tangent;  // R dy [k, n, ...]
};

class Step {
 public:
  virtual ~Step() = default;
  /// y [n, ...] of x [n, ...].
  virtual Tensor forward(Tensor x) = 0;
  /// dx of dy, undefined where it is not `wanted`. Called where second-order terms are to come.
  virtual Tensor backward(Tensor dy, bool wanted) = 0;
  /// R y [k, n, ...] of R x.
  virtual Tensor forward_tangent(Tensor Rx, const Block& block) = 0;
  /// R dx of R dy; adds R dw to the products of the step's weights.
  virtual Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) = 0;
  /// Both backward rules at once, after which the step is spent.
  virtual Dual consume(Dual dy, const Block& block, bool wanted);
  virtual bool has_parameters() const { return false; }
  /// Appends what is kept between products, and nothing that is kept for one.
  virtual void kept(std::vector<Tensor>& tensors) const = 0;
};

/// Steps one after another; itself the rule of composition.
class Sequence final : public Step {
 public:
  Tensor forward(Tensor x) override;
  Tensor backward(Tensor dy, bool wanted) override;
  Tensor forward_tangent(Tensor Rx, const Block& block) override;
  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override;
  /// Destroys each step behind it: what it kept is free before the next one asks for memory.
  Dual consume(Dual dy, const Block& block, bool wanted) override;
  bool has_parameters() const override;
  void kept(std::vector<Tensor>& tensors) const override;
  void add(std::unique_ptr<Step> step) { steps_.push_back(std::move(step)); }

 private:
  bool parameters_below(size_t i) const;
  std::vector<std::unique_ptr<Step>> steps_;
};

// chain_dense.cpp
std::unique_ptr<Step> linear_step(std::shared_ptr<Weights> weights, int64_t lane);
std::unique_ptr<Step> conv_step(std::shared_ptr<Weights> weights, const Conv2dStage& stage,
                                int64_t lane);
/// y = s x + t over dimension 1.
std::unique_ptr<Step> scale_step(std::shared_ptr<Weights> weights, int64_t lane);
// chain_tokens.cpp
std::unique_ptr<Step> position_step(std::shared_ptr<Weights> weights, int64_t lane);
std::unique_ptr<Step> embedding_step(std::shared_ptr<Weights> weights, int64_t lane);
// chain_norm.cpp
std::unique_ptr<Step> layer_norm_step(std::shared_ptr<Weights> weights, double eps, int64_t lane);
/// Batch norm in training mode: the whole batch must go through at once.
std::unique_ptr<Step> batch_norm_step(std::shared_ptr<Weights> weights,
                                      const ChannelAffineStage& stage, int64_t lane);
// chain_attention.cpp
std::unique_ptr<Step> attention_step(int64_t heads);
// chain_pointwise.cpp
std::unique_ptr<Step> activation_step(Activation kind);
// chain_shape.cpp
std::unique_ptr<Step> average_pool_step(int64_t kernel);
std::unique_ptr<Step> max_pool_step(int64_t kernel);
std::unique_ptr<Step> reshape_step(std::vector<int64_t> shape);  // of one sample; {-1}: flatten
std::unique_ptr<Step> token_mean_step();
std::unique_ptr<Step> transpose_step();
std::unique_ptr<Step> residual_step(Sequence body, Sequence shortcut);

/// Whether t may be overwritten: nobody else holds it or its memory.
bool sole_owner(const Tensor& t);
/// a + b, in the memory of a or b where that is free; undefined is zero.
Tensor sum(Tensor a, Tensor b);
/// [k, n, ...] <-> [k n, ...]; a view where tangents lie one after another.
Tensor stacked(const Tensor& t);
Tensor unstacked(const Tensor& t, int64_t k);
/// The layout convolutions are fastest in.
Tensor channels_last(const Tensor& x);

}  // namespace ritz::nn::detail
