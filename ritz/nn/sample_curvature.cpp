// Derivatives of single samples' losses, in closed form from what layers capture.
//
// One backward pass gives each layer its input a and the gradient g at its output, whose rows
// belong to single samples: the gradient of sample i by a weight is a sum of g a^T over its
// positions. Evaluated at dual parameters theta + e v (forward mode over reverse mode), the same
// formulas carry as tangent d/dt grad_i(theta + t v) = H_i v, the product of each sample's Hessian,
// at the cost of a few passes for the whole batch.
#include <torch/csrc/autograd/forward_grad.h>
#include <torch/types.h>

#include <numeric>

#include "ritz/base/check_tensor.h"
#include "ritz/nn/detail/batches.h"
#include "ritz/nn/detail/memory_meter.h"

namespace ritz::nn {
namespace {

using detail::Batch;
using detail::Product;

/// Rows [n, P] of a pass take at most this much: beyond it page faults cost more than they save.
constexpr int64_t kRowBytes = int64_t{32} << 20;

/// A forward-mode level in which each parameter has its piece of v as tangent.
class DualParameters {
 public:
  DualParameters(const Network& network, const Tensor& v)
      : level_(torch::autograd::ForwardADLevel::get_next_idx()) {
    const auto parameters = network.parameter_values();
    const auto pieces = detail::unflatten(v, parameters);
    for (size_t i = 0; i < parameters.size(); ++i) {
      parameters[i]._set_fw_grad(pieces[i], level_, /*is_inplace_op=*/false);
    }
  }
  ~DualParameters() { torch::autograd::ForwardADLevel::release_idx(level_); }
  DualParameters(const DualParameters&) = delete;
  DualParameters& operator=(const DualParameters&) = delete;

 private:
  const uint64_t level_;
};

std::vector<int64_t> offsets(const Network& network) {
  std::vector<int64_t> begin{0};
  for (const auto& p : network.parameters) begin.push_back(begin.back() + p.value.numel());
  return begin;
}

/// Per-sample gradients [n, P] out of one backward pass (their tangents, where `tangent` and the
/// parameters are dual); nothing where the captured layers do not account for the whole gradient,
/// which is what tells a module that uses its parameters in ways of its own.
std::optional<Tensor> captured_rows(const Batch& b, bool tangent) {
  std::vector<bool> owned(b.network.parameters.size(), false);
  for (const auto& tap : b.network.layers) {
    for (const int i : tap.parameters) owned[static_cast<size_t>(i)] = true;
  }
  if (std::find(owned.begin(), owned.end(), false) != owned.end()) return {};
  const CaptureScope capture(b.network.layers);
  std::vector<Tensor> gradients;
  {
    const torch::AutoGradMode grad_mode(true);
    const Tensor z = detail::checked_forward(b);
    // The loss in closed form: libtorch's backward of log-softmax has no forward mode.
    const Tensor s = b.loss.output_gradient(z, b.targets);
    gradients = detail::parameter_gradients(b.network, {z}, {s}, false, false);
  }
  const torch::NoGradGuard no_grad;
  const auto part = [&](const Tensor& x) { return tangent ? x._fw_grad(0) : x; };
  const int64_t n = b.inputs.size(0);
  const auto begin = offsets(b.network);
  Tensor rows = at::zeros({n, begin.back()}, b.network.options());
  for (const auto& tap : b.network.layers) {
    const auto& inputs = tap.layer->inputs();
    const auto& output_gradients = tap.layer->output_gradients();
    for (size_t call = 0; call < inputs.size(); ++call) {
      if (inputs[call].size(0) != n || !output_gradients[call].defined()) return {};
      const auto pieces = tap.layer->sample_gradients(inputs[call], output_gradients[call]);
      for (size_t i = 0; i < pieces.size(); ++i) {
        const auto p = static_cast<size_t>(tap.parameters[i]);
        if (const Tensor piece = part(pieces[i]); piece.defined()) {
          rows.narrow(1, begin[p], begin[p + 1] - begin[p]).add_(piece);
        }
      }
    }
  }
  Tensor whole = at::zeros({begin.back()}, b.network.options());
  for (auto& g : gradients) g = part(g);
  detail::add_flat(whole, gradients, b.network.parameter_values(), 1);
  const double scale = std::max(whole.norm().item<double>(), rows.norm().item<double>());
  if (!((rows.sum(0) - whole).norm().item<double>() <= 1e-3 * scale)) return {};
  return rows;
}

/// The same, one pass a sample, for any network; H_i v where v is given.
Tensor rows_one_by_one(const Batch& b, const Tensor& v, Differentiation way) {
  const int64_t n = b.inputs.size(0);
  Tensor rows = at::zeros({n, b.network.parameter_count()}, b.network.options());
  for (int64_t i = 0; i < n; ++i) {
    const auto one = detail::make_batch_derivatives(
        {b.network, b.loss, b.inputs.narrow(0, i, 1), b.targets.narrow(0, i, 1), b.product}, way);
    if (v.defined()) {
      one->add_hessian_products(v.unsqueeze(0), rows.narrow(0, i, 1), 1);
    } else {
      const Tensor s = b.loss.output_gradient(one->outputs(), b.targets.narrow(0, i, 1));
      one->add_output_products(s.unsqueeze(0), rows.narrow(0, i, 1), 1);
    }
  }
  return rows;
}

Tensor sample_rows(const Batch& b, const Tensor& v, Differentiation way) {
  if (way != Differentiation::finite_difference) {
    try {
      std::optional<DualParameters> dual;
      if (v.defined()) dual.emplace(b.network, v);
      if (auto rows = captured_rows(b, v.defined())) return *rows;
    } catch (const c10::Error&) {   // an operation without forward mode
    } catch (const Unsupported&) {  // a layer without closed form
    }
  }
  return rows_one_by_one(b, v, way);
}

/// Calls visit(begin, rows [n, P]) for each micro-batch.
template <class Visit>
void for_each_rows(const Objective& objective, const Tensor& v, const CurvatureOptions& options,
                   Visit&& visit) {
  const Product product = v.defined() ? Product::hessian : Product::gradient;
  const detail::Batches checked(objective, options, product);
  if (options.training) {
    throw Unsupported(
        "derivatives of single samples: batch norm in training mode couples the samples");
  }
  const int64_t N = checked.samples(), P = checked.parameter_count();
  const ModeGuard mode(objective.network, false);
  const auto element = static_cast<int64_t>(objective.network.options().dtype().itemsize());
  const int64_t step = options.micro_batch > 0
                           ? options.micro_batch
                           : std::clamp<int64_t>(kRowBytes / (P * element), 1, N);
  torch::NoGradGuard no_grad;
  for (int64_t begin = 0; begin < N; begin += step) {
    const int64_t n = std::min(step, N - begin);
    const Batch b{objective.network, objective.loss, objective.inputs.narrow(0, begin, n),
                  objective.targets.narrow(0, begin, n), product};
    const Tensor rows = sample_rows(b, v, options.differentiation);
    if (!std::isfinite(rows.sum().item<double>()) && !rows.isfinite().all().item<bool>()) {
      throw InvalidArgument("per-sample derivatives", "finite values", "NaN or Inf",
                            "batch " + std::to_string(begin / step) + ", samples " +
                                std::to_string(begin) + " to " + std::to_string(begin + n - 1));
    }
    visit(begin, rows);
  }
}

Tensor all_rows(const Objective& objective, const Tensor& v, const CurvatureOptions& options) {
  Tensor all;
  for_each_rows(objective, v, options, [&](int64_t begin, const Tensor& rows) {
    if (!all.defined()) {
      const int64_t N = objective.inputs.size(0);
      if (rows.size(0) == N) {
        all = rows;
        return;
      }
      all = at::empty({N, rows.size(1)}, rows.options());
    }
    all.narrow(0, begin, rows.size(0)).copy_(rows);
  });
  return all;
}

void check_vector(const Objective& objective, const Tensor& v) {
  check_shape("v", v, {objective.network.parameter_count()});
  check_options("v", v, objective.network.options());
}

}  // namespace

Tensor per_sample_gradients(const Objective& objective, CurvatureOptions options) {
  return all_rows(objective, {}, options);
}

Tensor per_sample_hessian_products(const Objective& objective, const Tensor& v,
                                   CurvatureOptions options) {
  check_vector(objective, v);
  return all_rows(objective, v.detach().contiguous(), options);
}

HessianScatter hessian_scatter(const Objective& objective, const Tensor& v,
                               CurvatureOptions options) {
  check_vector(objective, v);
  if (!objective.loss.mean) throw InvalidArgument("loss", "a mean over samples", "a sum");
  const Tensor direction = v.detach().contiguous();
  const int64_t N = objective.inputs.size(0);
  const auto numbers = TensorOptions(at::kDouble).device(v.device());
  // The mean first: squares of differences keep their digits where a difference of squares would
  // not.
  HessianScatter result{hessian(objective, options)->apply(direction), at::empty({N}, numbers),
                        at::empty({N}, numbers)};
  for_each_rows(objective, direction, options, [&](int64_t begin, const Tensor& rows) {
    const Tensor difference = (rows - result.mean_product).to(at::kDouble);
    result.norm2.narrow(0, begin, rows.size(0)).copy_(difference.square().sum(1));
    result.curvature.narrow(0, begin, rows.size(0)).copy_(difference.mv(direction.to(at::kDouble)));
  });
  return result;
}

}  // namespace ritz::nn
