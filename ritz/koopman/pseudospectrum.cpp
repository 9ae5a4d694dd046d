#include "ritz/koopman/pseudospectrum.h"

#include <torch/types.h>

#include <cstring>
#include <mutex>

#include "ritz/base/check_tensor.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/parallel.h"
#include "ritz/base/random.h"
#include "ritz/dist/sharded_sum.h"
#include "ritz/koopman/detail/float64.h"
#include "ritz/koopman/detail/panel_cholesky.h"
#include "ritz/krylov/tridiagonal.h"

namespace ritz::koopman {
namespace {

using detail::complex128;

/// Points that are worked through one after another, each from the minimiser of the last. Fixed, so
/// that neither threads nor ranks change a bit.
constexpr int64_t kChunk = 32;
/// Below it the quadratic form has no digits left for tau.
constexpr double kSmallTau = 1e-6;
/// Up to so many functions the exact decomposition is as fast.
constexpr int64_t kSmallOrder = 16;
constexpr int64_t kGridLimit = 10'000'000;

struct Point {
  double re, im;
};
static_assert(sizeof(Point) == 2 * sizeof(double));

std::vector<Point> to_points(const Tensor& points) {
  const Tensor flat = complex128(points.cpu().reshape({-1})).contiguous();
  const Tensor parts = at::view_as_real(flat).contiguous();
  const double* at = parts.data_ptr<double>();
  std::vector<Point> result(static_cast<size_t>(flat.size(0)));
  for (size_t i = 0; i < result.size(); ++i) result[i] = {at[2 * i], at[2 * i + 1]};
  return result;
}

/// The points that have to be computed, in an order where neighbours follow each other, and for
/// each point asked for where its answer is.
struct Plan {
  std::vector<Point> unique;
  std::vector<int64_t> place;  // [P]
  std::vector<bool> mirrored;  // [P]: the answer is that of the conjugate
};

Plan make_plan(const std::vector<Point>& points, bool mirror) {
  std::vector<size_t> order(points.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto key = [&](size_t i) {
    return std::pair(points[i].re, mirror ? std::abs(points[i].im) : points[i].im);
  };
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) < key(b); });
  std::vector<std::vector<std::pair<double, std::vector<size_t>>>> columns;
  for (const size_t i : order) {
    const auto [re, im] = key(i);
    if (columns.empty() || points[columns.back()[0].second[0]].re != re) columns.emplace_back();
    auto& column = columns.back();
    if (column.empty() || column.back().first != im) column.push_back({im, {}});
    column.back().second.push_back(i);
  }
  Plan plan;
  plan.place.resize(points.size());
  plan.mirrored.resize(points.size());
  for (size_t c = 0; c < columns.size(); ++c) {
    if (c % 2 == 1) std::reverse(columns[c].begin(), columns[c].end());
    for (const auto& [im, members] : columns[c]) {
      for (const size_t i : members) {
        plan.place[i] = static_cast<int64_t>(plan.unique.size());
        plan.mirrored[i] = points[i].im != im;
      }
      plan.unique.push_back({points[members[0]].re, im});
    }
  }
  return plan;
}

Tensor to_tensor(const Point* points, int64_t count) {
  const Tensor parts = torch::empty({count, 2}, torch::kFloat64);
  std::memcpy(parts.data_ptr<double>(), points, static_cast<size_t>(count) * sizeof(Point));
  return at::view_as_complex(parts);
}

/// ||[A' - z_j; S] u_j|| for unit columns u [n, c].
Tensor values_at(const Reduction& reduction, const Tensor& z, const Tensor& u) {
  const auto product = [&](const Tensor& X) {
    if (X.is_complex()) return X.matmul(u);
    const Tensor parts = at::view_as_real(u.contiguous()).flatten(1);
    return at::view_as_complex(X.matmul(parts).view({X.size(0), u.size(1), 2}));
  };
  const Tensor inside = product(reduction.A) - u * z.unsqueeze(0);
  const Tensor square = inside.abs().square().sum(0) + product(reduction.S).abs().square().sum(0);
  return square.sqrt();
}

/// Smallest singular values of [A' - z; S] and, where asked for, their right vectors [n, c].
std::pair<Tensor, Tensor> exact_minima(const Reduction& reduction, const Tensor& z, bool vectors) {
  const int64_t n = reduction.rank();
  const Tensor eye = torch::eye(n, complex128(reduction.A).options());
  const Tensor S = complex128(reduction.S);
  std::vector<Tensor> tau, all;
  const int64_t batch = std::max<int64_t>(1, 4'000'000 / (n * n));
  for (int64_t begin = 0; begin < z.size(0); begin += batch) {
    const Tensor part = z.slice(0, begin, begin + batch);
    const int64_t c = part.size(0);
    const Tensor top = complex128(reduction.A) - part.view({c, 1, 1}) * eye;
    const Tensor stack = torch::cat({top, S.expand({c, n, n})}, 1);
    // Singular values do not change with the orthogonal factor: the decomposition is of order n.
    const Tensor triangle = std::get<1>(at::linalg_qr(stack, "r"));
    if (vectors) {
      const auto [u, s, vh] = at::linalg_svd(triangle, /*full_matrices=*/false);
      tau.push_back(s.select(1, n - 1));
      all.push_back(vh.select(1, n - 1).conj().t());
    } else {
      tau.push_back(at::linalg_svdvals(triangle).select(1, n - 1));
    }
    check_interrupt("pseudospectrum");
  }
  return {torch::cat(tau), vectors ? torch::cat(all, 1) : Tensor()};
}

/// The smallest eigenvector of C C^* by Lanczos on its inverse.
class InverseLanczos {
 public:
  InverseLanczos(const detail::PanelLayout& layout, int64_t max_steps)
      : layout_(layout),
        n_(layout.padded()),
        max_steps_(std::min(max_steps, layout.order())),
        basis_(static_cast<size_t>(2 * n_ * (max_steps_ + 1))) {}

  /// From `x` (any length) to the minimiser, of length 1. False where it did not converge: tau is
  /// known to `tolerance` where it does. `norm` bounds ||C C^*||; x has padded() numbers, zero
  /// beyond the order.
  bool run(const double* C, double norm, double tolerance, double* x) {
    Tridiagonal T;
    steps_ = 0;
    if (!normalise(x, vector(0))) return false;
    while (steps_ < max_steps_) {
      double* next = vector(steps_ + 1);
      std::copy(vector(steps_), vector(steps_) + 2 * n_, next);
      detail::solve(layout_, C, next);
      ++steps_;
      ++solves_;
      double alpha = 0;
      // Twice is enough (Kahan): the basis stays orthogonal to rounding.
      for (int pass = 0; pass < 2; ++pass) {
        for (int64_t k = 0; k < steps_; ++k) {
          double product[2];
          detail::dot(vector(k), next, n_, product);
          detail::axpy(-product[0], -product[1], vector(k), next, n_);
          if (k == steps_ - 1) alpha += product[0];
        }
      }
      double square[2];
      detail::dot(next, next, n_, square);
      T.alpha.push_back(alpha);
      T.tail = std::sqrt(square[0]);
      if (!std::isfinite(T.tail)) return false;
      const TridiagonalEigen eigen = eigh_tridiagonal(T);
      const double theta = eigen.values.back();
      if (!(theta > 0)) return false;
      const bool invariant = T.tail <= 1e-14 * theta;
      if (invariant || (steps_ >= kLeastSteps && error(T, eigen, norm) <= tolerance) ||
          steps_ == layout_.order()) {
        combine(T, x);
        return true;
      }
      if (steps_ == max_steps_) break;
      T.beta.push_back(T.tail);
      scale(next, 1 / T.tail);
    }
    return false;
  }
  /// Of all runs.
  int64_t solves() const { return solves_; }

 private:
  static constexpr int64_t kLeastSteps = 4;

  double* vector(int64_t k) { return basis_.data() + 2 * n_ * k; }
  void scale(double* x, double factor) {
    for (int64_t i = 0; i < 2 * n_; ++i) x[i] *= factor;
  }
  bool normalise(const double* x, double* out) {
    double square[2];
    detail::dot(x, x, n_, square);
    if (!(square[0] > 0) || !std::isfinite(square[0])) return false;
    std::copy(x, x + 2 * n_, out);
    scale(out, 1 / std::sqrt(square[0]));
    return true;
  }

  /// Of tau, from the largest Ritz pair's residual rho: the pair's own error min(rho, rho^2 / gap)
  /// in 1 / tau^2, and what the vector's components in large directions add to its Rayleigh
  /// quotient, (rho / theta)^2 ||H||.
  static double error(const Tridiagonal& T, const TridiagonalEigen& eigen, double norm) {
    const double theta = eigen.values.back(), rho = std::abs(T.tail * eigen.last.back());
    const double gap = theta - eigen.values[eigen.values.size() - 2];
    const double pair = std::min(rho, rho * rho / std::max(gap, 1e-300)) / (theta * theta);
    return (pair + rho / theta * (rho / theta) * norm) * std::sqrt(theta) / 2;
  }

  void combine(const Tridiagonal& T, double* x) {
    const TridiagonalEigen eigen = eigh_tridiagonal(T, /*vectors=*/true);
    const int64_t m = T.order();
    std::fill(x, x + 2 * n_, 0.);
    for (int64_t k = 0; k < m; ++k) {
      detail::axpy(eigen.vectors[static_cast<size_t>(k * m + m - 1)], 0, vector(k), x, n_);
    }
    normalise(x, vector(0));
    std::copy(vector(0), vector(0) + 2 * n_, x);
  }

  const detail::PanelLayout& layout_;
  int64_t n_, max_steps_, steps_ = 0, solves_ = 0;
  std::vector<double> basis_;
};

double* numbers(const Tensor& x) {
  return reinterpret_cast<double*>(x.data_ptr<c10::complex<double>>());
}

/// What all points share.
struct Prepared {
  const Reduction& reduction;
  detail::PanelLayout layout;
  std::vector<double> L, P, Q;  // in panels: H(z) = L - x P + y Q + |z|^2
  double norm;                  // ||[A'; S]||_2
  Tensor start;                 // complex128 [padded], random, length 1, zero beyond the order
};

Prepared prepare(const Reduction& reduction, uint64_t seed) {
  const Tensor A = complex128(reduction.A), S = complex128(reduction.S);
  const detail::PanelLayout layout(A.size(0));
  const auto panels = [&](const Tensor& X, double pad) {
    std::vector<double> values(static_cast<size_t>(layout.size()));
    detail::to_panels(layout, numbers(X.contiguous()), pad, values.data());
    return values;
  };
  RandomStream random(seed, stream_id("koopman/sweep"));
  const Tensor start = torch::zeros({layout.padded()}, A.options());
  start.slice(0, 0, A.size(0)).copy_(random.normal({A.size(0)}, A.options()));
  return {reduction,
          layout,
          panels(A.mH().matmul(A) + S.mH().matmul(S), 1),
          panels(A + A.mH(), 0),
          panels((A - A.mH()) * c10::complex<double>(0, 1), 0),
          at::linalg_svdvals(torch::cat({reduction.A, reduction.S}))[0].item<double>(),
          start / start.norm()};
}

struct ChunkResult {
  Tensor tau, vectors;  // [c], [n, c]
  int64_t exact = 0, solves = 0;
};

ChunkResult sweep_chunk(const Prepared& prepared, const Point* points, int64_t count,
                        const SweepOptions& options) {
  const Reduction& reduction = prepared.reduction;
  const detail::PanelLayout& layout = prepared.layout;
  ChunkResult result;
  const Tensor minimisers = torch::zeros({count, layout.padded()}, prepared.start.options());
  std::vector<double> H(static_cast<size_t>(layout.size()));
  InverseLanczos lanczos(layout, options.max_steps);
  std::vector<int64_t> hard;
  const double* start = numbers(prepared.start);
  const double* previous = start;
  for (int64_t k = 0; k < count; ++k) {
    const auto [x, y] = points[k];
    detail::shifted_normal_matrix(layout, prepared.L.data(), prepared.P.data(), prepared.Q.data(),
                                  x, y, H.data());
    // A neighbour's minimiser can be an eigenvector here too, of another eigenvalue: some of every
    // direction has to be in the start.
    double* u = numbers(minimisers) + 2 * k * layout.padded();
    for (int64_t i = 0; i < 2 * layout.padded(); ++i) u[i] = previous[i] + 0.2 * start[i];
    const double size = prepared.norm + std::hypot(x, y);
    if (detail::factor(layout, H.data()) &&
        lanczos.run(H.data(), size * size, 0.1 * options.tolerance, u)) {
      previous = u;
    } else {
      hard.push_back(k);
    }
  }
  result.solves = lanczos.solves();
  const Tensor z = to_tensor(points, count);
  result.vectors = minimisers.slice(1, 0, layout.order()).t().contiguous();
  result.tau = values_at(reduction, z, result.vectors);
  for (int64_t k = 0; k < count; ++k) {
    const bool listed = std::find(hard.begin(), hard.end(), k) != hard.end();
    if (!listed && result.tau[k].item<double>() < kSmallTau) hard.push_back(k);
  }
  if (!hard.empty()) {
    const Tensor which = torch::tensor(hard, torch::kInt64);
    const auto [tau, vectors] = exact_minima(reduction, z.index_select(0, which), options.vectors);
    result.tau.index_copy_(0, which, tau);
    if (options.vectors) result.vectors.index_copy_(1, which, vectors);
    result.exact = which.size(0);
  }
  return result;
}

/// Answers at the unique points to answers at the points asked for.
void scatter(const Plan& plan, const Tensor& tau, const Tensor& vectors, Sweep& sweep) {
  const Tensor place = torch::tensor(plan.place, torch::kInt64);
  sweep.tau = tau.index_select(0, place);
  if (!vectors.defined()) return;
  std::vector<int64_t> mirrored(plan.mirrored.begin(), plan.mirrored.end());
  const Tensor flip = torch::tensor(mirrored, torch::kInt64).to(torch::kBool).unsqueeze(0);
  const Tensor all = vectors.index_select(1, place);
  sweep.vectors = at::where(flip, all.conj().resolve_conj(), all);
}

}  // namespace

Sweep pseudospectrum_exact(const Reduction& reduction, const Tensor& points, bool vectors) {
  Sweep sweep;
  const Tensor z = complex128(points.reshape({-1})).to(reduction.A.device());
  std::tie(sweep.tau, sweep.vectors) = exact_minima(reduction, z, vectors);
  sweep.points = sweep.exact = z.size(0);
  return sweep;
}

Sweep pseudospectrum(const Reduction& reduction, const Tensor& points,
                     const SweepOptions& options) {
  check_positive("tolerance", options.tolerance);
  check_at_least("max_steps", options.max_steps, 1);
  if (reduction.residuals_are_empty()) {
    throw InvalidArgument("functions",
                          "fewer than the " + std::to_string(reduction.pairs) +
                              " pairs: else tau is 0 everywhere, whatever the dynamics",
                          std::to_string(reduction.rank()));
  }
  if (points.numel() == 0) {
    return {.tau = torch::empty({0}, torch::kFloat64), .vectors = {}};
  }
  const bool real = !reduction.A.is_complex() && !reduction.S.is_complex();
  const Plan plan = make_plan(to_points(points), real);
  const auto total = static_cast<int64_t>(plan.unique.size());
  const int64_t n = reduction.rank(), chunks = (total + kChunk - 1) / kChunk;
  Sweep sweep;
  sweep.points = total;

  if (n <= kSmallOrder || !reduction.A.device().is_cpu()) {
    const Tensor z = to_tensor(plan.unique.data(), total);
    const auto [tau, vectors] =
        exact_minima(reduction, z.to(reduction.A.device()), options.vectors);
    scatter(plan, tau.cpu(), options.vectors ? vectors.cpu() : vectors, sweep);
    sweep.exact = total;
    return sweep;
  }

  const Prepared prepared = prepare(reduction, options.seed);
  dist::Shard mine{0, chunks};
  if (options.group != nullptr) {
    mine = dist::shard_of(chunks, options.group->rank(), options.group->world_size());
  }
  std::vector<ChunkResult> results(static_cast<size_t>(mine.end - mine.begin));
  std::mutex mutex;
  int64_t done = 0;
  parallel_for(mine.begin, mine.end, 1, [&](int64_t first, int64_t last) {
    const at::NoGradGuard no_gradient;
    for (int64_t chunk = first; chunk < last; ++chunk) {
      check_interrupt("pseudospectrum");
      const int64_t begin = chunk * kChunk, count = std::min(kChunk, total - begin);
      auto& result = results[static_cast<size_t>(chunk - mine.begin)];
      result = sweep_chunk(prepared, plan.unique.data() + begin, count, options);
      if (!options.vectors) result.vectors = Tensor();
      const std::lock_guard lock(mutex);
      done += count;
      if (options.progress) options.progress(done, total);
    }
  });

  std::vector<Tensor> tau, vectors;
  for (const auto& result : results) {
    tau.push_back(result.tau);
    if (options.vectors) vectors.push_back(result.vectors.t());
    sweep.exact += result.exact;
    sweep.solves += result.solves;
  }
  const auto joined = [&](const std::vector<Tensor>& parts, const Tensor& none) {
    const Tensor all = parts.empty() ? none : torch::cat(parts).contiguous();
    return options.group == nullptr ? all : torch::cat(options.group->all_gather_unequal(all));
  };
  const Tensor all_tau = joined(tau, torch::empty({0}, torch::kFloat64));
  Tensor all_vectors;
  if (options.vectors) {
    all_vectors = joined(vectors, torch::empty({0, n}, torch::kComplexDouble)).t();
  }
  if (options.group != nullptr) {
    const Tensor counts = torch::tensor({sweep.exact, sweep.solves}, torch::kInt64);
    options.group->all_reduce_sum(counts);
    sweep.exact = counts[0].item<int64_t>();
    sweep.solves = counts[1].item<int64_t>();
  }
  scatter(plan, all_tau, all_vectors, sweep);
  return sweep;
}

GridPoints grid_points(const Grid& grid) {
  check_positive("spacing", grid.spacing);
  if (!(grid.x0 <= grid.x1) || !(grid.y0 <= grid.y1)) {
    throw InvalidArgument("region", "x0 <= x1 and y0 <= y1",
                          number_text(grid.x0) + "," + number_text(grid.x1) + "," +
                              number_text(grid.y0) + "," + number_text(grid.y1));
  }
  const double h = grid.spacing;
  const auto count = [&](double a, double b) { return std::floor((b - a) / h * (1 + 1e-12)) + 1; };
  const double nx = count(grid.x0, grid.x1), ny = count(grid.y0, grid.y1);
  if (!(nx * ny <= static_cast<double>(kGridLimit))) {
    throw InvalidArgument("spacing", "at most 10^7 points", number_text(nx * ny) + " points");
  }
  const auto line = [&](double a, double n) {
    const Tensor steps = torch::arange(static_cast<int64_t>(n)).to(torch::kFloat64);
    const double first = std::round(a / h), inverse = std::round(1 / h);
    if (std::abs(a / h - first) > 1e-9 * std::max(1., std::abs(first))) return steps * h + a;
    // Integers times h: h k and -h k are each other's negative to the last bit; 12 / 10 is 1.2,
    // where 12 times 0.1 is not.
    const Tensor whole = steps + first;
    return std::abs(inverse * h - 1) < 1e-12 ? whole / inverse : whole * h;
  };
  const Tensor x = line(grid.x0, nx), y = line(grid.y0, ny);
  const Tensor re = x.repeat_interleave(y.size(0)), im = y.repeat({x.size(0)});
  return {at::complex(re, im), x.size(0), y.size(0)};
}

}  // namespace ritz::koopman
