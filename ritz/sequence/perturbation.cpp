#include "ritz/sequence/perturbation.h"

#include <torch/types.h>

#include <atomic>

#include "ritz/base/check_tensor.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/parallel.h"
#include "ritz/base/random.h"
#include "ritz/sequence/hippo.h"
#include "ritz/sequence/transfer.h"

namespace ritz::sequence {
namespace {

constexpr int64_t kLargest = 2048;

double spectral_norm(const Tensor& A) {
  return at::linalg_svdvals(A)[0].item<double>();
}

Tensor gaussian(int64_t n, bool complex, uint64_t seed, std::string_view purpose, int64_t index) {
  const auto type = complex ? torch::kComplexDouble : torch::kFloat64;
  return RandomStream(seed, stream_id(purpose, static_cast<uint64_t>(index))).normal({n, n}, type);
}

/// The point of the ball nearest to X along its ray, and the way back for gradients.
struct BallPoint {
  Tensor E, u, v;  // u, v: the top singular pair of X where it lies outside
  double scale = 1, norm = 0;
  BallPoint(const Tensor& X, double radius) : E(X) {
    const auto [square, V] = at::linalg_eigh(X.conj().t().mm(X));
    norm = std::sqrt(square[-1].item<double>());
    if (norm <= radius) return;
    scale = radius / norm;
    E = scale * X;
    v = V.select(1, X.size(1) - 1);
    u = X.mv(v) / norm;
  }
  /// dL/dX of dL/dE: E = c X / sigma, d sigma = Re(u^* dX v).
  Tensor pull_back(const Tensor& G, const Tensor& X) const {
    if (scale == 1) return G;
    const double along = torch::real((X.conj() * G).sum()).item<double>() / norm;
    return scale * (G - along * u.outer(v.conj()));
  }
};

struct Problem {
  Tensor A;
  double norm = 0;
  bool complex = false;
  EigenObjective objective;
  PerturbationOptions options;
};

struct Found {
  Tensor E;
  double loss = std::numeric_limits<double>::infinity();
  int64_t jitters = 0;
};

/// A + E of distinct eigenvalues: where two are closer than 1e-8 ||A||, X is shaken and the eigen-
/// system taken again.
EigenSystem separated(const Problem& problem, double radius, Tensor& X, BallPoint& point,
                      int64_t start, int64_t step, int64_t& jitters) {
  for (int attempt = 0;; ++attempt) {
    const bool last = attempt == 5;
    try {
      auto system = eigensystem(problem.A + point.E);
      if (system.gap >= 1e-8 * problem.norm || last) return system;
    } catch (const NotConverged&) {
      if (last) throw;
    }
    ++jitters;
    X = X + 1e-4 * radius *
                gaussian(X.size(0), problem.complex, problem.options.seed, "ptd/jitter",
                         (start << 32) + step * 8 + attempt);
    point = BallPoint(X, radius);
  }
}

Found descend(const Problem& problem, int64_t start, const std::function<void()>& step_done) {
  const auto& options = problem.options;
  const int64_t n = problem.A.size(0);
  const double radius = options.rho * problem.norm;
  const double entry = radius / (2 * std::sqrt(static_cast<double>(n)));
  Found best;
  // Well inside the ball, where the direction is still open.
  Tensor X = 0.06 * entry * gaussian(n, problem.complex, options.seed, "ptd/start", start);
  Tensor first = torch::zeros_like(X), second = torch::zeros_like(torch::real(X));
  for (int64_t step = 0; step <= options.steps; ++step) {
    BallPoint point(X, radius);
    const auto system = separated(problem, radius, X, point, start, step, best.jitters);
    const auto found = eigen_loss(system, problem.objective);
    if (found.loss < best.loss) {
      best.loss = found.loss;
      best.E = point.E;
    }
    if (step == options.steps) break;
    const Tensor G =
        point.pull_back(problem.complex ? found.gradient : torch::real(found.gradient), X);
    // Adam, Kingma & Ba, ICLR 2015; of complex entries the modulus.
    first = 0.9 * first + 0.1 * G;
    second = 0.999 * second + 0.001 * torch::real(G * G.conj());
    const double t = static_cast<double>(step);
    const double rate = options.learning_rate * entry * 0.5 *
                        (1 + std::cos(M_PI * t / static_cast<double>(options.steps)));
    const Tensor mean = first / (1 - std::pow(0.9, t + 1));
    const Tensor size = (second / (1 - std::pow(0.999, t + 1))).sqrt();
    X = X - rate * mean / (size + 1e-12);
    step_done();
  }
  return best;
}

Tensor wide(const Tensor& A) {
  return A.detach()
      .to(torch::kCPU, A.is_complex() ? torch::kComplexDouble : torch::kFloat64)
      .contiguous();
}

/// All figures of A + E but the transfer function's.
Perturbation figures(const Tensor& A, const Tensor& E, double norm) {
  const auto system = eigensystem(A + E);
  Perturbation made;
  made.E = E;
  made.eigenvalues = system.eigenvalues;
  made.W = system.W;
  made.W_inv = system.W_inv;
  made.kappa = condition_number(system.W);
  made.norm = norm;
  made.rho = norm > 0 ? spectral_norm(E) / norm : 0;
  made.max_real = torch::real(system.eigenvalues).max().item<double>();
  const Tensor back = (system.W * system.eigenvalues).mm(system.W_inv) - (A + E);
  made.residual = norm > 0 ? back.norm().item<double>() / norm : 0;
  return made;
}

void measure_transfer(Perturbation& made) {
  const auto error = hippo_sup_error(made.eigenvalues, made.W, made.W_inv, made.b_scale);
  made.sup_error = error.value;
  made.sup_omega = error.omega;
}

void check_options(const PerturbationOptions& options, int64_t n) {
  check_positive("rho", options.rho);
  if (options.generator == Generator::optimised) {
    check_range("n", n, 1, kLargest);
    check_at_least("steps", options.steps, 1);
    check_at_least("restarts", options.restarts, 1);
    check_positive("learning_rate", options.learning_rate);
    check_non_negative("penalty", options.penalty);
    check_non_negative("unit", options.unit);
  }
}

/// What the optimiser finds from all starts, best first by `score`.
Perturbation optimise(const Tensor& A, double norm, const PerturbationOptions& options, double unit,
                      bool hippo) {
  Problem problem{A, norm, A.is_complex() || !options.real, {}, options};
  problem.objective.conditioning = options.conditioning;
  if (options.abscissa) {
    problem.objective.abscissa = *options.abscissa;
    problem.objective.penalty = options.penalty / (unit * unit);
  }
  std::vector<Found> found(static_cast<size_t>(options.restarts));
  std::atomic<int64_t> done = 0;
  parallel_for(0, options.restarts, 1, [&](int64_t first, int64_t last) {
    for (int64_t start = first; start < last; ++start)
      found[static_cast<size_t>(start)] = descend(problem, start, [&] {
        const int64_t steps = ++done;
        check_interrupt("stopped after step " + std::to_string(steps) + " of the perturbation");
        if (options.progress) options.progress(steps, options.restarts * options.steps);
      });
  });
  Perturbation best;
  std::vector<PerturbationStart> starts;
  int64_t jitters = 0, chosen = 0;
  double least = std::numeric_limits<double>::infinity();
  for (const auto& at : found) {
    Perturbation made = figures(A, at.E, norm);
    if (hippo) measure_transfer(made);
    starts.push_back({at.loss, made.kappa, made.max_real, made.sup_error.value_or(0)});
    jitters += at.jitters;
    double score = std::log(made.kappa) + (hippo ? std::log(*made.sup_error) : 0);
    if (options.abscissa && made.max_real >= 0) score += 1e6;  // stable ones first
    if (score < least || starts.size() == 1) {
      least = score;
      best = made;
      chosen = static_cast<int64_t>(starts.size()) - 1;
    }
  }
  best.starts = starts;
  best.chosen = chosen;
  best.jitters = jitters;
  return best;
}

Perturbation of_generator(const Tensor& A, const PerturbationOptions& options, double unit,
                          bool hippo) {
  const int64_t n = A.size(0);
  const double norm = spectral_norm(A);
  if (norm == 0)
    throw InvalidArgument("A", "a matrix that is not zero",
                          "zeros: every basis is one of eigenvectors");
  Perturbation made;
  if (options.generator == Generator::optimised) {
    if (options.abscissa && unit == 0)
      unit = *options.abscissa != 0 ? std::abs(*options.abscissa) : options.rho * norm;
    made = optimise(A, norm, options, unit, hippo);
  } else {
    const Tensor X = gaussian(n, A.is_complex() || !options.real, options.seed, "ptd/ginibre", 0);
    made = figures(A, X * (options.rho * norm / spectral_norm(X)), norm);
    if (hippo) measure_transfer(made);
  }
  if (options.abscissa && !options.allow_unstable) require_stable(made);
  return made;
}

}  // namespace

std::string_view name_of(Generator generator) {
  switch (generator) {
    case Generator::optimised:
      return "optimised";
    case Generator::ginibre:
      return "ginibre";
    case Generator::path:
      return "path";
    case Generator::none:
      return "none";
  }
  return "";
}

void require_stable(const Perturbation& made) {
  if (made.max_real < 0) return;
  throw NotConverged(format_error("perturbation", "a stable system",
                                  "unstable eigenvalues, max Re m = " + number_text(made.max_real) +
                                      ": take a larger rho, more steps or restarts, a lower "
                                      "abscissa, or the optimised generator"));
}

Perturbation ptd_diagonalize(const Tensor& A, const PerturbationOptions& options) {
  check_floating("A", A, /*complex=*/true);
  if (A.dim() != 2 || A.size(0) != A.size(1) || A.size(0) < 1)
    throw InvalidArgument("A", "a square matrix", describe(A));
  check_finite("A", A);
  check_options(options, A.size(0));
  if (options.generator == Generator::path || options.generator == Generator::none)
    throw InvalidArgument("generator", "optimised or ginibre, for a matrix that is not HiPPO's",
                          name_of(options.generator));
  return of_generator(wide(A), options, options.unit, /*hippo=*/false);
}

Perturbation diagonalize_with(const Tensor& A, const Tensor& E) {
  check_floating("A", A, /*complex=*/true);
  check_floating("E", E, /*complex=*/true);
  if (A.dim() != 2 || A.size(0) != A.size(1) || A.size(0) < 1)
    throw InvalidArgument("A", "a square matrix", describe(A));
  check_shape("E", E, A.sizes());
  check_finite("A", A);
  check_finite("E", E);
  return figures(wide(A), wide(E), spectral_norm(wide(A)));
}

Perturbation perturb_hippo(int64_t n, const PerturbationOptions& given) {
  check_at_least("n", n, 1);
  check_options(given, n);
  const Tensor A = hippo_matrix(n), B = hippo_input(n), half = B.outer(B) / 2;
  const double norm = spectral_norm(A);
  if (given.generator == Generator::path) {
    const double t = std::min(1.0, given.rho * norm / (static_cast<double>(n * n) / 2));
    Perturbation made = figures(A, t * half, norm);
    measure_transfer(made);
    return made;
  }
  if (given.generator == Generator::none) {
    check_positive("b_scale", given.b_scale);
    const auto part = hippo_normal_part(n);
    Perturbation made;
    made.E = half;
    made.eigenvalues = part.eigenvalues;
    made.W = part.V;
    made.W_inv = part.V.conj().t().resolve_conj().contiguous();
    made.kappa = condition_number(part.V);
    made.norm = norm;
    made.rho = spectral_norm(half) / norm;
    made.max_real = -0.5;
    made.residual =
        ((made.W * made.eigenvalues).mm(made.W_inv) - (A + half)).norm().item<double>() / norm;
    made.b_scale = given.b_scale;
    measure_transfer(made);
    return made;
  }
  auto options = given;
  if (!options.abscissa) options.abscissa = -1;
  return of_generator(A, options, options.unit > 0 ? options.unit : 1, /*hippo=*/true);
}

Perturbation perturb_hippo_with(const Tensor& E) {
  check_dim("E", E, 2);
  Perturbation made = diagonalize_with(hippo_matrix(E.size(0)), E);
  measure_transfer(made);
  return made;
}

DiagonalSystem hippo_system(const Perturbation& made, Storage storage) {
  if (storage == Storage::conjugate && made.E.is_complex())
    throw InvalidArgument("storage", "full, as a complex E leaves no conjugate pairs", "conjugate");
  return diagonal_system(made.eigenvalues, made.W, made.W_inv,
                         made.b_scale * hippo_input(made.W.size(0)), storage);
}

}  // namespace ritz::sequence
