#include "ritz/koopman/learned/operator.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <array>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/dist/process_group.h"
#include "ritz/koopman/learned/products.h"

namespace ritz::koopman::learned {
namespace {

constexpr std::array<std::pair<std::string_view, OperatorKind>, 5> kKinds = {
    {{"learned", OperatorKind::learned},
     {"ridge", OperatorKind::ridge},
     {"stable", OperatorKind::stable},
     {"blockdiag", OperatorKind::blockdiag},
     {"unitary", OperatorKind::unitary}}};

/// The mean of every rank's tensor; its gradient is the mean of every rank's gradient, so that
/// parameters' gradients averaged over ranks are those of the mean loss.
struct RankMean : torch::autograd::Function<RankMean> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& mine,
                        dist::ProcessGroup* group) {
    context->saved_data["group"] = reinterpret_cast<int64_t>(group);
    return mean(mine, group);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    auto* group = reinterpret_cast<dist::ProcessGroup*>(context->saved_data["group"].toInt());
    return {mean(gradients[0], group), Tensor()};
  }
  static Tensor mean(const Tensor& mine, dist::ProcessGroup* group) {
    Tensor sum = mine.clone(at::MemoryFormat::Contiguous);
    group->all_reduce_sum(sum);
    return sum / group->world_size();
  }
};

}  // namespace

OperatorKind parse_operator(std::string_view name) {
  std::string all;
  for (const auto& [text, kind] : kKinds) {
    if (text == name) return kind;
    all += (all.empty() ? "" : ", ") + std::string(text);
  }
  throw InvalidArgument("operator", all, name);
}

std::string_view name_of(OperatorKind kind) {
  return kKinds[static_cast<size_t>(kind)].first;
}

Operator::Operator(const OperatorOptions& options) : kind_(options.kind), latent_(options.latent) {
  check_at_least("latent", latent_, 1);
  const auto drawn = [&](at::IntArrayRef shape, std::string_view purpose, double low, double high) {
    RandomStream random(options.seed, stream_id(purpose));
    return high > low ? random.uniform(shape, at::kDouble, low, high).to(at::kFloat)
                      : random.normal(shape, at::kDouble, 0, low).to(at::kFloat);
  };
  const int64_t d = latent_;
  switch (kind_) {
    case OperatorKind::learned:
      matrix_ = register_parameter("matrix",
                                   at::eye(d) + drawn({d, d}, "koopman/learned operator", 0.01, 0));
      break;
    case OperatorKind::ridge:
      matrix_ = register_buffer("matrix", at::eye(d));
      break;
    case OperatorKind::stable:
      decay_ = register_parameter("decay", at::full({d}, 5.0));
      [[fallthrough]];
    case OperatorKind::unitary:
      rotation_ = register_parameter("rotation", drawn({d, d}, "koopman/stable operator", 0.3, 0));
      break;
    case OperatorKind::blockdiag:
      decay_ = register_parameter("decay", at::full({(d + 1) / 2}, 5.0));
      angle_ = register_parameter("angle", drawn({d / 2}, "koopman/block operator", 0, M_PI / 2));
      break;
  }
}

Tensor Operator::blocks(const Tensor& steps) const {
  // [H, blocks, 2]: r^h (cos h theta, sin h theta); the real block of an odd d has angle 0.
  const Tensor angle =
      latent_ % 2 == 0 ? angle_ : at::cat({angle_, at::zeros({1}, angle_.options())});
  const Tensor h = steps.unsqueeze(1);
  const Tensor size = (h * at::log_sigmoid(decay_)).exp(), turn = h * angle;
  return at::stack({size * turn.cos(), size * turn.sin()}, -1);
}

Tensor Operator::matrix() const {
  switch (kind_) {
    case OperatorKind::learned:
    case OperatorKind::ridge:
      return matrix_;
    case OperatorKind::stable:
      return decay_.sigmoid().unsqueeze(1) * matrix_exponential(rotation_ - rotation_.t());
    case OperatorKind::unitary:
      return matrix_exponential(rotation_ - rotation_.t());
    case OperatorKind::blockdiag:
      break;
  }
  return advance(at::eye(latent_, decay_.options())).t();
}

Tensor Operator::advance(const Tensor& z) const {
  if (kind_ != OperatorKind::blockdiag) return z.matmul(matrix().t());
  return rollout(z.reshape({-1, latent_}), 1).view(z.sizes());
}

Tensor Operator::rollout(const Tensor& z, int64_t steps) const {
  check_at_least("steps", steps, 1);
  check_shape("z", z, {-1, latent_});
  if (kind_ != OperatorKind::blockdiag) return learned::rollout(matrix(), z, steps);
  const Tensor factors = blocks(at::arange(1, steps + 1, z.options()));  // [H, blocks, 2]
  const Tensor even = latent_ % 2 == 0 ? z : at::constant_pad_nd(z, {0, 1});
  const Tensor pairs = even.view({z.size(0), 1, -1, 2});
  const Tensor x = pairs.select(-1, 0), y = pairs.select(-1, 1);
  const Tensor c = factors.select(-1, 0), s = factors.select(-1, 1);
  return at::stack({c * x - s * y, s * x + c * y}, -1).flatten(2).narrow(2, 0, latent_);
}

void Operator::set_matrix(const Tensor& K) {
  if (kind_ != OperatorKind::ridge) throw Unsupported("only a ridge operator is given its matrix");
  check_shape("K", K, {latent_, latent_});
  const at::NoGradGuard no_graph;
  matrix_.copy_(K);
}

Tensor matrix_exponential(const Tensor& A) {
  check_dim("A", A, 2);
  check_shape("A", A, {A.size(0), A.size(0)});
  check_floating("A", A);
  // |remainder| <= |X|^9 / 9! below half a unit in the last place where |X| is below this.
  const double radius = A.scalar_type() == at::kFloat ? 0.6 : 0.065;
  const double size = A.detach().abs().sum(1).max().item<double>();
  const int squarings = size > radius && std::isfinite(size)
                            ? static_cast<int>(std::ceil(std::log2(size / radius)))
                            : 0;
  const Tensor X = A * std::ldexp(1.0, -squarings);
  const Tensor X2 = X.mm(X), X3 = X2.mm(X), X4 = X2.mm(X2);
  const Tensor one = at::eye(A.size(0), A.options());
  const Tensor high = one / 24 + X / 120 + X2 / 720 + X3 / 5040 + X4 / 40320;
  Tensor E = one + X + X2 / 2 + X3 / 6 + X4.mm(high);
  for (int i = 0; i < squarings; ++i) E = E.mm(E);
  return E;
}

Tensor rollout(const Tensor& K, const Tensor& z, int64_t steps) {
  check_at_least("steps", steps, 1);
  check_dim("z", z, 2);
  check_shape("K", K, {z.size(1), z.size(1)});
  const Tensor first = z.mm(K.t()).unsqueeze(1);
  Tensor states = first, power = K;  // states up to h, K^h
  for (int64_t h = 1; h < steps; h *= 2) {
    const int64_t more = std::min(h, steps - h);
    states = at::cat({states, states.narrow(1, 0, more).matmul(power.t())}, 1);
    if (2 * h < steps) power = power.mm(power);
  }
  return states;
}

Tensor ridge_matrix(const Tensor& inputs, const Tensor& outputs, const RidgeOptions& options) {
  check_dim("inputs", inputs, 3);
  check_floating("inputs", inputs);
  check_shape("outputs", outputs, {inputs.size(0), inputs.size(1), -1});
  check_positive("ridge", options.ridge);
  const int64_t B = inputs.size(0), T = inputs.size(1), d = inputs.size(2);
  const Tensor z = options.detach ? inputs.detach() : inputs;
  const Tensor y = options.detach ? outputs.detach() : outputs;
  const bool small = T < d;
  const Tensor zt = z.transpose(1, 2);
  const Tensor one = at::eye(small ? T : d, z.options()) * options.ridge;
  const Tensor factor = at::linalg_cholesky((small ? z.matmul(zt) : zt.matmul(z)) + one);
  Tensor transposed;  // K^T
  if (small) {
    const Tensor weights = at::cholesky_solve(y, factor);  // [B, T, q]
    transposed = product(z.reshape({B * T, d}).t(), weights.reshape({B * T, -1}));
  } else {
    transposed = at::cholesky_solve(zt.matmul(y), factor).sum(0);
  }
  const Tensor K = transposed.t() / static_cast<double>(B);
  if (options.group == nullptr || options.group->world_size() == 1) return K;
  return RankMean::apply(K, options.group);
}

RidgeSums::RidgeSums(int64_t inputs, int64_t outputs)
    : G_(at::zeros({inputs, inputs}, at::kDouble)),
      A_(at::zeros({inputs, outputs}, at::kDouble)),
      rows_(at::zeros({1}, at::kDouble)) {}

void RidgeSums::add(const Tensor& z, const Tensor& y) {
  check_shape("z", z, {-1, G_.size(0)});
  check_shape("y", y, {z.size(0), A_.size(1)});
  const at::NoGradGuard no_graph;
  const Tensor zd = z.to(at::kCPU, at::kDouble), yd = y.to(at::kCPU, at::kDouble);
  G_.addmm_(zd.t(), zd);
  A_.addmm_(zd.t(), yd);
  rows_ += static_cast<double>(z.size(0));
}

void RidgeSums::reduce(dist::ProcessGroup& group) {
  if (group.world_size() == 1) return;
  for (const Tensor& sum : {G_, A_, rows_}) group.all_reduce_sum(sum);
}

Tensor RidgeSums::solve(double ridge) const {
  check_positive("ridge", ridge);
  if (rows_.item<double>() == 0) throw InvalidArgument("rows", "at least one", "none");
  const Tensor factor = at::linalg_cholesky(G_ + ridge * at::eye(G_.size(0), G_.options()));
  return at::cholesky_solve(A_, factor).t().contiguous();
}

}  // namespace ritz::koopman::learned
