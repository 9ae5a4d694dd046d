#pragma once
// The steps of a chain for one part of a batch: what each keeps, and its four rules
// (chain_kernels.h). Blocks of k tangents of n samples are stacked as [k n, ...], tangent by
// tangent, so that a step without parameters treats them as more samples. An undefined tensor is a
// structural zero: nothing is computed from it.
#include <memory>
#include <vector>

#include "ritz/nn/detail/chain_weights.h"

namespace ritz::nn::detail {

/// How far a block goes.
struct Block {
  int64_t k = 1;              // tangents
  bool second_order = false;  // keep R x going forward; add the terms with dy going backward
};

class Step {
 public:
  virtual ~Step() = default;
  /// y [n, ...] of x [n, ...].
  virtual Tensor forward(Tensor x) = 0;
  /// dx of dy, undefined where it is not `wanted`. Called where second-order terms are to come.
  virtual Tensor backward(Tensor dy, bool wanted) = 0;
  /// R y [k n, ...] of R x.
  virtual Tensor forward_tangent(Tensor Rx, const Block& block) = 0;
  /// R dx of R dy; adds R dw to the products of the step's weights.
  virtual Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) = 0;
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
  bool has_parameters() const override;
  void kept(std::vector<Tensor>& tensors) const override;
  void add(std::unique_ptr<Step> step) { steps_.push_back(std::move(step)); }

 private:
  std::vector<std::unique_ptr<Step>> steps_;
};

// chain_dense.cpp
std::unique_ptr<Step> linear_step(std::shared_ptr<Weights> weights);
std::unique_ptr<Step> conv_step(std::shared_ptr<Weights> weights, const Conv2dStage& stage);
std::unique_ptr<Step> scale_step(std::shared_ptr<Weights> weights);  // y = s x + t over dimension 1
// chain_pointwise.cpp
std::unique_ptr<Step> activation_step(Activation kind);
// chain_shape.cpp
std::unique_ptr<Step> average_pool_step(int64_t kernel);
std::unique_ptr<Step> max_pool_step(int64_t kernel);
std::unique_ptr<Step> reshape_step(std::vector<int64_t> shape);  // of one sample; {-1}: flatten
std::unique_ptr<Step> residual_step(Sequence body, Sequence shortcut);

/// Whether t may be overwritten: nobody else holds it or its memory.
bool sole_owner(const Tensor& t);
/// a + b, in the memory of a or b where that is free; undefined is zero.
Tensor sum(Tensor a, Tensor b);
/// The layout convolutions are fastest in.
Tensor channels_last(const Tensor& x);

}  // namespace ritz::nn::detail
