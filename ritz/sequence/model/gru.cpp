#include "ritz/sequence/model/gru.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/sequence/model/lengths.h"

namespace ritz::sequence {

namespace {

class GruStream : public LayerStream {
 public:
  GruStream(std::vector<Tensor> cell, Tensor out, int64_t n)
      : cell_(std::move(cell)),
        out_(std::move(out)),
        h_(at::zeros({n, out_.size(1)}, out_.options())) {}
  Tensor push(const Tensor& u) override {
    const at::NoGradGuard no_graph;
    h_.copy_(at::gru_cell(u, h_, cell_[0], cell_[1], cell_[2], cell_[3]));
    return at::linear(h_, out_);
  }
  std::vector<Tensor> state() const override { return {h_.clone()}; }
  void set_state(const std::vector<Tensor>& state) override {
    check_at_least("tensors of the state", static_cast<int64_t>(state.size()), 1);
    check_shape("state", state[0], h_.sizes());
    h_.copy_(state[0]);
  }
  void reset() override { h_.zero_(); }

 private:
  std::vector<Tensor> cell_;
  Tensor out_, h_;
};

}  // namespace

GruLayer::GruLayer(const LayerOptions& options)
    : Layer("gru", {options.bidirectional ? Mode::scan : Mode::step}, options.width,
            options.bidirectional),
      states_(options.states) {
  const double bound = 1 / std::sqrt(static_cast<double>(states_));
  for (int64_t k = 0; k < (bidirectional ? 2 : 1); ++k) {
    const std::string suffix = k == 0 ? "" : "_reverse";
    RandomStream random(options.seed, stream_id("sequence/gru", static_cast<uint64_t>(k)));
    const auto make = [&](const std::string& what, at::IntArrayRef shape) {
      const Tensor start = random.uniform(shape, TensorOptions(at::kDouble), -bound, bound);
      return register_parameter(what + suffix, start.to(options.tensor));
    };
    Unit unit;
    unit.cell = {make("weight_ih", {3 * states_, width}), make("weight_hh", {3 * states_, states_}),
                 make("bias_ih", {3 * states_}), make("bias_hh", {3 * states_})};
    unit.out = make("out", {width, states_});
    units_.push_back(std::move(unit));
  }
}

Tensor GruLayer::respond(const Tensor& u, const Tensor& lengths, Mode) {
  const auto run = [&](const Tensor& input, const Unit& unit) {
    const Tensor start = at::zeros({1, input.size(0), states_}, input.options());
    const Tensor h = std::get<0>(at::gru(input, start, unit.cell, /*has_biases=*/true,
                                         /*num_layers=*/1, /*dropout=*/0, /*train=*/is_training(),
                                         /*bidirectional=*/false, /*batch_first=*/true));
    return at::linear(h, unit.out);
  };
  const Tensor y = run(u, units_[0]);
  if (!bidirectional) return y;
  return y + reverse_within(run(reverse_within(u, lengths), units_[1]), lengths);
}

std::unique_ptr<LayerStream> GruLayer::make_stream(int64_t n) const {
  std::vector<Tensor> cell;
  for (const auto& part : units_[0].cell) cell.push_back(part.detach().clone());
  return std::make_unique<GruStream>(std::move(cell), units_[0].out.detach().clone(), n);
}

}  // namespace ritz::sequence
