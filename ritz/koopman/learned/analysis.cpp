#include "ritz/koopman/learned/analysis.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::koopman::learned {
namespace {

class Evaluation {
 public:
  explicit Evaluation(Model& model) : model_(model), before_(model.is_training()) { model.eval(); }
  ~Evaluation() { model_.train(before_); }
  Evaluation(const Evaluation&) = delete;
  Evaluation& operator=(const Evaluation&) = delete;

 private:
  Model& model_;
  bool before_;
};

/// J v for each row v of `directions` [k, ...], J the decoder's Jacobian at z: the derivative in u
/// of J^T u is J^T, so that its own pullback of v is J v. One pass for all rows.
Tensor pushed(Model& model, const Tensor& z, const Tensor& directions) {
  const at::AutoGradMode with_graph(true);
  std::vector<int64_t> shape(z.sizes().begin(), z.sizes().end());
  shape.insert(shape.begin(), directions.size(0));
  const Tensor points = z.unsqueeze(0).expand(shape).contiguous().requires_grad_(true);
  const Tensor frames = model.decode(points);
  const Tensor u = at::zeros_like(frames).requires_grad_(true);
  const Tensor pulled = torch::autograd::grad({frames}, {points}, {u}, true, true)[0];
  return torch::autograd::grad({pulled}, {u}, {directions.view(shape)})[0].detach();
}

}  // namespace

ModelSpectrum spectrum(Model& model) {
  const Evaluation evaluation(model);
  ModelSpectrum result;
  Tensor K;
  {
    const at::NoGradGuard no_graph;
    K = model.frame_matrix().to(at::kCPU, at::kDouble);
  }
  const auto [values, vectors] = at::linalg_eig(K);
  const Tensor order = values.abs().argsort(/*stable=*/true, 0, /*descending=*/true);
  result.eigenvalues = values.index_select(0, order);
  result.right = vectors.index_select(1, order);
  const Tensor singular = at::linalg_svdvals(result.right);
  const double least = singular[-1].item<double>();
  result.condition =
      least > 0 ? singular[0].item<double>() / least : std::numeric_limits<double>::infinity();
  result.left = least > 0 ? at::linalg_inv(result.right) : at::linalg_pinv(result.right);
  result.radius = result.eigenvalues[0].abs().item<double>();
  // At the mean frame, which is zero on the standardised scale.
  const auto& o = model.options();
  std::vector<int64_t> frame = o.sample;
  if (model.graph()) frame.insert(frame.begin(), o.relations.size(0));
  frame.insert(frame.begin(), 1);
  Tensor z;
  {
    const at::NoGradGuard no_graph;
    z = model.encode(at::zeros(frame, model.tensor_options())).mean[0];
  }
  const Tensor rows = result.right.t().contiguous();
  const auto through = [&](const Tensor& part) {
    return pushed(model, z, part.to(model.tensor_options())).to(at::kCPU, at::kDouble);
  };
  const Tensor modes = at::complex(through(at::real(rows)), through(at::imag(rows)));
  const Tensor unit = (model.restore(at::ones({}, model.tensor_options())) -
                       model.restore(at::zeros({}, model.tensor_options())))
                          .to(at::kCPU, at::kDouble);
  result.modes = modes * unit;
  return result;
}

Tensor eigenfunctions(Model& model, const ModelSpectrum& spectrum, const Tensor& x) {
  const at::NoGradGuard no_graph;
  const Evaluation evaluation(model);
  const Tensor z = model.encode(model.standardise(x)).mean.flatten(1).to(at::kCPU, at::kDouble);
  return z.to(at::kComplexDouble).mm(spectrum.left.t());
}

Steering steer(Model& model, const Tensor& start, const Tensor& goal,
               const SteeringOptions& options) {
  const auto& o = model.options();
  if (o.actions == 0) throw InvalidArgument("model", "one trained with actions", "one without");
  if (model.graph()) throw Unsupported("steering between objects: expected a single state");
  check_at_least("horizon", options.horizon, 1);
  check_positive("state_cost", options.state_cost);
  check_positive("action_cost", options.action_cost);
  if (!(options.limit > 0)) throw InvalidArgument("limit", "> 0", number_text(options.limit));
  check_shape("start", start, o.sample);
  check_shape("goal", goal, o.sample);
  check_finite("start", start);
  check_finite("goal", goal);
  const at::NoGradGuard no_graph;
  const Evaluation evaluation(model);
  const LinearMap map = model.linear_map();
  const TensorOptions wide(at::kDouble);
  const auto K = map.K.to(at::kCPU, at::kDouble), B = map.B.to(at::kCPU, at::kDouble);
  Steering result{.lqr = lqr(K, B, options.state_cost * at::eye(o.latent, wide),
                             options.action_cost * at::eye(o.actions, wide)),
                  .actions = {},
                  .states = {},
                  .distances = {}};
  const Tensor both =
      model.encode(model.standardise(at::stack({start, goal}))).mean.cpu().to(at::kDouble);
  const Tensor target = both[1];
  Tensor z = both[0];
  std::vector<Tensor> actions, latents, distances;
  for (int64_t h = 0; h < options.horizon; ++h) {
    const Tensor a = (-result.lqr.gain.mv(z - target)).clamp(-options.limit, options.limit);
    z = K.mv(z) + B.mv(a);
    actions.push_back(a);
    latents.push_back(z);
    distances.push_back((z - target).norm());
  }
  result.actions = at::stack(actions);
  result.distances = at::stack(distances);
  result.states = model.restore(model.decode(at::stack(latents).to(model.tensor_options())));
  return result;
}

}  // namespace ritz::koopman::learned
