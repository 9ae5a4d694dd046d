#include "ritz/koopman/learned/model.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/koopman/learned/products.h"

namespace ritz::koopman::learned {
namespace {

/// Checks relation types and gives their number.
int64_t count_types(const Tensor& relations, int64_t types) {
  check_dim("relations", relations, 2);
  check_shape("relations", relations, {relations.size(0), relations.size(0)});
  if (relations.scalar_type() != at::kLong) {
    throw InvalidArgument("relations", "int64 [objects, objects]", describe(relations));
  }
  check_at_least("objects", relations.size(0), 1);
  const int64_t least = relations.min().item<int64_t>(), most = relations.max().item<int64_t>();
  if (types == 0) types = most + 1;
  if (least < 0 || most >= types) {
    throw InvalidArgument("relations", "types in [0, " + std::to_string(types) + ")",
                          std::to_string(least < 0 ? least : most));
  }
  return types;
}

/// Rows of leading dimensions folded into one.
Tensor folded(const Tensor& x, int64_t keep) {
  std::vector<int64_t> shape{-1};
  for (int64_t i = x.dim() - keep; i < x.dim(); ++i) shape.push_back(x.size(i));
  return x.reshape(shape);
}

}  // namespace

Model::Model(ModelOptions options) : options_(std::move(options)) {
  auto& o = options_;
  check_at_least("latent", o.latent, 1);
  check_at_least("actions", o.actions, 0);
  check_at_least("transient", o.transient, 0);
  const int64_t d = o.latent, m = o.actions;
  if (o.relations.defined()) {
    if (o.op != OperatorKind::learned && o.op != OperatorKind::ridge) {
      throw Unsupported("operator: expected learned or ridge between objects, found " +
                        std::string(name_of(o.op)));
    }
    if (o.transition != Transition::linear || o.variational) {
      throw Unsupported("objects with relations have linear, deterministic latents");
    }
    o.relation_types = count_types(o.relations, o.relation_types);
  } else if (o.relation_types > 0) {
    throw InvalidArgument("relations", "int64 [objects, objects]", "none");
  }
  nets_ = make_networks(o.network, {.sample = o.sample,
                                    .latent = d,
                                    .heads = o.variational ? 2 : 1,
                                    .seed = o.seed,
                                    .dropout = o.dropout});
  register_module("encoder", nets_.encoder);
  register_module("decoder", nets_.decoder);
  const auto drawn = [&](at::IntArrayRef shape, std::string_view purpose) {
    return RandomStream(o.seed, stream_id(purpose))
        .normal(shape, at::kDouble, 0, 0.01)
        .to(at::kFloat);
  };
  const auto keep = [&](const std::string& name, const Tensor& value) {
    return o.op == OperatorKind::ridge ? register_buffer(name, value)
                                       : register_parameter(name, value);
  };
  if (o.transition == Transition::nonlinear) {
    const auto map = make_networks("mlp:64", {.sample = {d + m}, .latent = d, .seed = o.seed + 1});
    nonlinear_ = register_module("map", map.encoder);
  } else if (graph()) {
    const int64_t R = o.relation_types;
    Tensor K = drawn({d, R, d}, "koopman/relation operators");
    // An object's relation to itself is the one that goes on as the identity at first.
    const Tensor own = o.relations.diagonal().cpu();
    for (int64_t i = 0; i < own.size(0); ++i) {
      K.select(1, own[i].item<int64_t>()).copy_(at::eye(d) + drawn({d, d}, "koopman/own operator"));
    }
    K_ = keep("relation_operators", K.view({d, R * d}));
    if (m > 0) B_ = keep("control", drawn({d, R * m}, "koopman/control"));
  } else {
    const bool pfnn = o.transition == Transition::pfnn;
    if (pfnn) o.op = OperatorKind::learned;
    operator_ = register_module("operator", std::make_shared<Operator>(OperatorOptions{
                                                .kind = o.op, .latent = d, .seed = o.seed}));
    if (pfnn) {
      contraction_ = register_module(
          "contraction", std::make_shared<Operator>(OperatorOptions{
                             .kind = OperatorKind::stable, .latent = d, .seed = o.seed + 1}));
    }
    if (m > 0) B_ = keep("control", drawn({d, m}, "koopman/control"));
  }
  if (o.variational) log_transition_ = register_parameter("log_transition", at::full({d}, -2.0));
  // "shift" and "scale" are those of one frame once set_scale knows them.
  mean_ = register_buffer("shift", at::zeros({}));
  deviation_ = register_buffer("scale", at::ones({}));
  to(o.tensor.device(), c10::typeMetaToScalarType(o.tensor.dtype()));
  if (graph()) set_relations(o.relations);
  eval();
}

TensorOptions Model::tensor_options() const {
  return mean_.options();
}

void Model::set_scale(const Tensor& mean, const Tensor& deviation) {
  check_finite("mean", mean);
  check_finite("deviation", deviation);
  if (!(deviation > 0).all().item<bool>()) {
    throw InvalidArgument("deviation", "> 0 everywhere", "0");
  }
  // Buffers keep their identity, so that files and copies see the new values.
  mean_.set_data(mean.to(tensor_options()).clone());
  deviation_.set_data(deviation.to(tensor_options()).clone());
}

void Model::set_relations(const Tensor& relations) {
  if (!graph()) throw Unsupported("relations: this model's frames are single states");
  count_types(relations, options_.relation_types);
  options_.relations = relations;
  const int64_t n = relations.size(0), R = options_.relation_types;
  // [n, n R]: row i has a one at (j, r(i, j)).
  adjacency_ = at::zeros({n, n, R}, tensor_options())
                   .scatter_(2, relations.to(tensor_options().device()).unsqueeze(2), 1)
                   .view({n, n * R});
}

Latents Model::encode(const Tensor& x) {
  const auto frame = static_cast<int64_t>(options_.sample.size());
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end() - frame);
  const Tensor out = apply_in_pieces(*nets_.encoder, folded(x, frame), nets_.piece);
  shape.push_back(out.size(1));
  const Tensor z = out.view(shape);
  if (!options_.variational) return {z, {}};
  const int64_t d = options_.latent;
  // Deviations within e^-8..e^2: beyond, the log likelihoods only lose digits.
  return {z.narrow(-1, 0, d), 5 * (z.narrow(-1, d, d) / 5).tanh() - 3};
}

Tensor Model::decode(const Tensor& z) {
  const Tensor out = apply_in_pieces(*nets_.decoder, folded(z, 1), nets_.piece);
  std::vector<int64_t> shape(z.sizes().begin(), z.sizes().end() - 1);
  for (const int64_t size : options_.sample) shape.push_back(size);
  return out.view(shape);
}

Tensor Model::features(const Tensor& z, const Tensor& actions) const {
  check_actions(z, actions);
  if (!graph()) return actions.defined() ? at::cat({z, actions}, -1) : z;
  const int64_t n = adjacency_.size(0), R = options_.relation_types;
  check_shape("objects", z.select(-1, 0).reshape({-1, z.size(-2)}), {-1, n});
  const auto sums = [&](const Tensor& v) {  // [..., n, w] -> [..., n, R w]
    const Tensor by_type = adjacency_.view({n, n, R}).transpose(1, 2).reshape({n * R, n});
    std::vector<int64_t> shape(v.sizes().begin(), v.sizes().end() - 1);
    shape.push_back(R * v.size(-1));
    return by_type.matmul(v).view(shape);  // rows (i, r): sum over j with r(i, j) = r
  };
  return actions.defined() ? at::cat({sums(z), sums(actions)}, -1) : sums(z);
}

LinearMap Model::linear_map() const {
  if (nonlinear_) throw InvalidArgument("model", "a linear latent map", "a nonlinear one");
  return {graph() ? K_ : operator_->matrix(), B_};
}

Tensor Model::koopman_matrix() const {
  const Tensor K = linear_map().K;
  if (!graph()) return K;
  const int64_t d = options_.latent;
  return K.view({d, options_.relation_types, d}).transpose(0, 1);
}

Tensor Model::frame_matrix() const {
  const Tensor K = koopman_matrix();
  if (!graph()) return K;
  const int64_t n = adjacency_.size(0), R = K.size(0), d = K.size(1);
  // block (i, j) is K_{r(i, j)}
  return adjacency_.view({n * n, R})
      .mm(K.reshape({R, d * d}))
      .view({n, n, d, d})
      .transpose(1, 2)
      .reshape({n * d, n * d});
}

void Model::check_actions(const Tensor& z, const Tensor& actions) const {
  const int64_t m = options_.actions;
  if (actions.defined() != (m > 0)) {
    throw InvalidArgument(
        "actions", m > 0 ? std::to_string(m) + " numbers a frame" : "none: the model has none",
        actions.defined() ? describe(actions) : "none");
  }
  if (!actions.defined()) return;
  std::vector<int64_t> shape(z.sizes().begin(), z.sizes().end());
  shape.back() = m;
  check_shape("actions", actions, shape);
}

Tensor Model::advance(const Tensor& z, const Tensor& actions, const LinearMap& map,
                      const Tensor& transient) const {
  if (nonlinear_) {
    const Tensor in = features(z, actions);
    return z + nonlinear_->forward(folded(in, 1)).view(z.sizes());
  }
  if (graph()) {
    const Tensor whole = map.B.defined() ? at::cat({map.K, map.B}, 1) : map.K;
    return features(z, actions).matmul(whole.t());
  }
  check_actions(z, actions);
  Tensor next = product(folded(z, 1), map.K.t()).view(z.sizes());
  if (contraction_ && transient.defined()) {
    next = at::where(transient.unsqueeze(-1), contraction_->advance(z), next);
  }
  return actions.defined() ? next + actions.matmul(map.B.t()) : next;
}

Tensor Model::rollout(const Tensor& z, int64_t steps, const Tensor& actions,
                      std::optional<int64_t> time) const {
  check_at_least("horizon", steps, 1);
  const int64_t transient =
      contraction_ ? options_.transient - time.value_or(options_.transient) : 0;
  if (operator_ && !actions.defined() && options_.actions == 0 && transient <= 0) {
    return operator_->rollout(z, steps);
  }
  const LinearMap map = nonlinear_ ? LinearMap{} : linear_map();
  std::vector<Tensor> states;
  Tensor state = z;
  for (int64_t h = 0; h < steps; ++h) {
    const Tensor early =
        h < transient ? at::ones({z.size(0)}, z.options().dtype(at::kBool)) : Tensor();
    state = advance(state, actions.defined() ? actions.select(1, h) : Tensor(), map, early);
    states.push_back(state);
  }
  return at::stack(states, 1);
}

Tensor Model::forecast(const Tensor& x, int64_t steps, const Tensor& actions,
                       std::optional<int64_t> time) {
  const at::NoGradGuard no_graph;
  check_options("x", x, tensor_options());
  if (actions.defined()) {
    check_options("actions", actions, tensor_options());
    check_at_least("actions' frames", actions.size(1), steps);
  }
  const bool training = is_training();
  eval();
  const Tensor future = restore(decode(rollout(encode(standardise(x)).mean, steps, actions, time)));
  train(training);
  return future;
}

void Model::set_ridge(const Tensor& solution) {
  const int64_t states = options_.latent * std::max<int64_t>(1, options_.relation_types);
  const int64_t inputs = B_.defined() ? B_.size(1) : 0;
  check_shape("solution", solution, {options_.latent, states + inputs});
  const at::NoGradGuard no_graph;
  if (graph()) {
    K_.copy_(solution.narrow(1, 0, states));
  } else {
    operator_->set_matrix(solution.narrow(1, 0, states));
  }
  if (inputs > 0) B_.copy_(solution.narrow(1, states, inputs));
}

}  // namespace ritz::koopman::learned
