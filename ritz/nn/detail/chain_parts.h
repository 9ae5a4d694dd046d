#pragma once
// A batch dealt to parts, each with steps of its own over weights that all share.
//
// On the CPU parts fit the cache, and lanes of them run side by side, each on one thread. Batch
// norm in training mode couples the samples: they are then one part in one lane.
#include <functional>
#include <memory>
#include <vector>

#include "ritz/nn/detail/chain_step.h"
#include "ritz/nn/network.h"

namespace ritz::nn::detail {

class ChainParts {
 public:
  struct Part {
    Sequence steps;
    int64_t begin, size;  // samples
    int64_t numbers = 1;  // in its largest activation, known after forward
  };
  /// The network's mode is that of its batch norms.
  ChainParts(const Network& network, const Tensor& inputs);

  std::vector<Part>& parts() { return parts_; }
  /// Visits the parts, those of different lanes at the same time.
  void for_each(const std::function<void(Part&)>& visit);
  /// Calls run(first, count) for as many of k tangents at once as keep a block within its size.
  void for_groups(int64_t k, const std::function<void(int64_t first, int64_t count)>& run) const;

  /// z of the part's samples.
  static Tensor forward(Part& part, const Tensor& inputs);
  /// R z [k, n, c].
  static Tensor forward_tangents(Part& part, const Tensor& outputs, const Block& block);

  // Of all weights, as in chain_weights.h.
  void start_gradient(bool where_mixed);  // for second-order products, else of all
  void finish_gradient();
  void load_tangents(const Tensor& V);
  void start_products(int64_t k);
  void add_gradient(const Tensor& out, double scale) const;
  void add_products(const Tensor& out, double scale, bool second_order) const;

 private:
  int64_t block_, lanes_ = 1;
  std::vector<std::shared_ptr<Weights>> weights_;
  std::vector<Part> parts_;
};

}  // namespace ritz::nn::detail
