#pragma once
// The weights of one step of a chain, with the channel affine behind it folded in, and the blocks
// of tangents and products in flight.
#include <vector>

#include "ritz/base/tensor.h"
#include "ritz/nn/chain.h"

namespace ritz::nn::detail {

/// Where a parameter lies in the flat vector [P]. Absent parameters are undefined.
struct ParameterPlace {
  Tensor value;
  int64_t offset = 0;
  bool defined() const { return value.defined(); }
};

/// W' and b' of y = W' * x + b', as functions of the parameters:
///
///     r = (variance + eps)^(-1/2),  s = gain r           (affine absent: s = 1, r = 0)
///     W' = s W                       (s scales the output channels)
///     b' = shift + s (b - mean)
///
/// Both are bilinear, so tangents V and products G carry over exactly:
///
///     V W' = s V W + (r V gain) W         V b' = V shift + r V gain (b - mean) + s V b
///     R G_W    = s R G' + (r V gain) G'
///     R G_gain = r (sum(R G' W + G' V W) + R g' (b - mean) + g' V b)
///     R G_b    = s R g' + (r V gain) g'   R G_shift = R g'
///
/// with G' [out, ...], g' [out] the batch's gradient in W', b'. Terms with G', g' are the
/// second-order ones. Shapes: W [out, ...]; blocks have k in front; `scale` steps have no W: W' is
/// s itself, [out]. Norms are as dense steps: W their gain, b their shift.
class Weights {
 public:
  struct Source {
    ParameterPlace weight, bias;  // of the dense step
    ParameterPlace gain, shift;   // of the affine
    Tensor mean, variance;        // of the affine; undefined where there is none
    double eps = 0;
    int64_t channels = 0;
    at::MemoryFormat format = at::MemoryFormat::Contiguous;  // of W'
  };
  explicit Weights(Source source);

  const Tensor& value() const { return value_; }                // W'
  const Tensor& bias() const { return bias_; }                  // b' [out], undefined where zero
  const Tensor& tangent() const { return tangent_; }            // [k, out, ...], each in the format
  const Tensor& bias_tangent() const { return bias_tangent_; }  // [k, out], undefined where zero
  /// R G', accumulated by the steps of one lane (chain_step.h), [k, out, ...].
  const Tensor& product(int64_t lane) const { return products_[at(lane)].weight; }
  const Tensor& bias_product(int64_t lane) const { return products_[at(lane)].bias; }
  bool wants_bias_product() const { return bias_.defined(); }

  /// Folded weights mix G' into second-order products.
  bool mixes_gradient() const { return source_.mean.defined() && source_.weight.defined(); }
  /// Whether the steps must hand G' over while going backward.
  bool wants_gradient() const { return !gradients_.empty(); }
  const Tensor& gradient(int64_t lane) const { return gradients_[at(lane)].weight; }
  const Tensor& bias_gradient(int64_t lane) const { return gradients_[at(lane)].bias; }
  void start_gradient(int64_t lanes);
  /// Sums the lanes' gradients; none is taken in from here on.
  void finish_gradient();

  /// out [P] += scale * the gradient in the parameters.
  void add_gradient(const Tensor& out, double scale) const;

  /// Reads V [k, P].
  void load_tangents(const Tensor& V);
  /// Zeroes the products for k tangents.
  void start_products(int64_t k, int64_t lanes);
  /// out [k, P] += scale * the sum of the lanes' products, which end with that; `second_order`
  /// needs the gradient and the loaded tangents.
  void add_products(const Tensor& out, double scale, bool second_order);

 private:
  struct Sums {
    Tensor weight, bias;
  };
  static size_t at(int64_t lane) { return static_cast<size_t>(lane); }
  /// R G of each parameter but for the second-order terms: linear in R G' and R g'.
  struct Pulled {
    Tensor weight, bias, gain, shift;  // undefined where there is no such parameter
  };
  Pulled pulled(const Sums& sums) const;
  void add(const Tensor& out, const Pulled& what, double scale) const;
  static Sums total(std::vector<Sums> lanes);
  Tensor per_channel(const Tensor& of_channels) const;  // [..., out] -> [..., out, 1, ...] like W

  Source source_;
  Tensor value_, bias_;
  Tensor deviation_, gain_, centred_bias_;  // r, s, b - mean; [out], where there is an affine
  std::vector<Sums> gradients_, products_;  // of each lane
  Sums gradient_;
  Tensor tangent_, bias_tangent_, gain_tangent_, raw_tangent_, raw_bias_tangent_;
};

}  // namespace ritz::nn::detail
