#include "ritz/krylov/lanczos.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/krylov/detail/orthogonalise.h"
#include "ritz/krylov/detail/vectors.h"

namespace ritz {
namespace {

// The vectors of all probes. Full storage: every q_j in one buffer, w in the row where it will
// stay. Otherwise the last two q and w in the operator's dtype, in a ring, and the older ones
// rounded or not at all.
class Basis {
 public:
  Basis(int64_t probes, int64_t steps, const LinearOperator& op, BasisStore store) : store_(store) {
    const auto options = op.options();
    const auto stored = store == BasisStore::bfloat16  ? options.dtype(torch::kBFloat16)
                        : store == BasisStore::float16 ? options.dtype(torch::kHalf)
                                                       : options;
    if (store != BasisStore::none) {
      rows_ = detail::allocate_basis(probes, steps + 1, op.rows(), stored);
    }
    if (store != BasisStore::full) ring_ = detail::allocate_basis(probes, 3, op.rows(), options);
  }

  /// q_j of all probes, [r, P].
  Tensor vectors(int64_t j) const {
    return store_ == BasisStore::full ? rows_.select(1, j) : ring_.select(1, j % 3);
  }

  /// Orthogonalises w, which lies where q_{j+1} will be, against q_0..q_j.
  struct Step {
    Tensor alpha;
    Tensor norm;
  };
  Step orthogonalise(int64_t probe, int64_t j) const {
    const auto w = vectors(j + 1)[probe];
    if (store_ == BasisStore::full) {
      const auto done = detail::orthogonalise(rows_[probe].narrow(0, 0, j + 1), {}, w);
      return {done.coefficients[j], done.norm};
    }
    // q_{j-1} and q_j are two rows of the ring, in either order.
    const int64_t now = j % 3, before = (j + 2) % 3;
    const auto recent = j == 0
                            ? ring_[probe].narrow(0, now, 1)
                            : ring_[probe].slice(0, std::min(now, before),
                                                 std::max(now, before) + 1, std::abs(now - before));
    const auto older =
        store_ == BasisStore::none || j < 2 ? Tensor() : rows_[probe].narrow(0, 0, j - 1);
    const auto done = detail::orthogonalise(older, recent, w, store_ == BasisStore::none ? 1 : 2);
    const int64_t at =
        std::max<int64_t>(j - 1, 0) * (older.defined() ? 1 : 0) + (j > 0 && now > before ? 1 : 0);
    return {done.coefficients[at], done.norm};
  }

  /// q_j is final: rounds it into the stored basis.
  void keep(int64_t probe, int64_t j) const {
    if (rows_.defined() && store_ != BasisStore::full) rows_[probe][j].copy_(vectors(j)[probe]);
  }

  /// No q_j from here on.
  void clear_from(int64_t probe, int64_t j) const {
    if (rows_.defined()) rows_[probe].slice(0, j).zero_();
  }

  const Tensor& rows() const { return rows_; }

 private:
  BasisStore store_;
  Tensor rows_;  // [r, m + 1, P]
  Tensor ring_;  // [r, 3, P]
};

void fill_starts(const Basis& basis, int64_t probes, const LanczosOptions& options) {
  const auto q = basis.vectors(0);
  for (int64_t l = 0; l < probes; ++l) {
    if (options.start_vectors.defined()) {
      const auto& given = options.start_vectors;
      q[l].copy_(given.dim() == 1 ? given : given.select(1, l));
    } else {
      detail::fill_start(q[l], options.seed,
                         stream_id("lanczos/start", static_cast<uint64_t>(options.first_probe + l)),
                         options.start);
    }
    detail::normalise("start_vectors", q[l]);
    basis.keep(l, 0);
  }
}

int64_t check(const LinearOperator& op, const LanczosOptions& options) {
  detail::check_square("op", op);
  check_at_least("steps", options.steps, 1);
  check_at_least("first_probe", options.first_probe, 0);
  if (!options.start_vectors.defined()) {
    check_at_least("probes", options.probes, 1);
    return options.probes;
  }
  const auto& start = options.start_vectors;
  if (start.dim() == 1) {
    check_shape("start_vectors", start, {op.rows()});
  } else {
    check_shape("start_vectors", start, {op.rows(), -1});
    check_at_least("start_vectors' columns", start.size(1), 1);
  }
  check_options("start_vectors", start, op.options());
  return start.dim() == 1 ? 1 : start.size(1);
}

}  // namespace

LanczosResult lanczos(const LinearOperator& op, const LanczosOptions& options) {
  const int64_t probes = check(op, options), P = op.rows(), steps = std::min(options.steps, P);
  const double stop_at = detail::epsilon(op.options()) * std::sqrt(static_cast<double>(P));
  const Basis basis(probes, steps, op, options.store);
  fill_starts(basis, probes, options);

  LanczosResult result;
  result.T.resize(static_cast<size_t>(probes));
  result.dimension = P;
  result.store = options.store;
  result.epsilon = detail::epsilon(op.options());
  std::vector<double> scale(static_cast<size_t>(probes), 0);  // max |T|
  std::vector<int64_t> active;
  for (int64_t l = 0; l < probes; ++l) active.push_back(l);

  // Invariant: A Q_j^T = Q_j^T T_j + beta_j q_{j+1} e_j^T for each probe.
  for (int64_t j = 0; j < steps && !active.empty(); ++j) {
    const bool all = static_cast<int64_t>(active.size()) == probes;
    auto q = basis.vectors(j);
    if (!all) q = q.index_select(0, torch::tensor(active, torch::kLong).to(q.device()));
    const bool single = active.size() == 1;
    const auto product = op.apply(single ? q[0] : q.t());
    result.products += static_cast<int64_t>(active.size());

    // alpha and |w| of all probes: one transfer a step.
    std::vector<Tensor> numbers;
    for (size_t i = 0; i < active.size(); ++i) {
      const auto w = basis.vectors(j + 1)[active[i]];
      w.copy_(single ? product : product.select(1, static_cast<int64_t>(i)));
      const auto done = basis.orthogonalise(active[i], j);
      numbers.push_back(done.alpha.is_complex() ? at::real(done.alpha) : done.alpha);
      numbers.push_back(done.norm);
    }
    const auto host = torch::stack(numbers).cpu();
    const double* number = host.const_data_ptr<double>();

    std::vector<int64_t> going;
    for (size_t i = 0; i < active.size(); ++i) {
      const int64_t l = active[i];
      const double alpha = number[2 * i], beta = number[2 * i + 1];
      if (!std::isfinite(alpha) || !std::isfinite(beta)) {
        throw NotConverged("lanczos: the operator's product is not finite in step " +
                           std::to_string(j) + " of probe " + std::to_string(l));
      }
      auto& T = result.T[static_cast<size_t>(l)];
      auto& largest = scale[static_cast<size_t>(l)];
      T.alpha.push_back(alpha);
      T.tail = beta;
      largest = std::max(largest, std::abs(alpha));
      // What is left over is rounding: the Krylov space is invariant, and what its normalised
      // remainder would add is noise. No random restart: it would not belong to this probe's
      // measure.
      if (beta <= stop_at * largest) {
        basis.clear_from(l, j + 1);
        continue;
      }
      largest = std::max(largest, beta);
      basis.vectors(j + 1)[l].div_(beta);
      basis.keep(l, j + 1);
      if (j + 1 < steps) T.beta.push_back(beta);
      going.push_back(l);
    }
    active = std::move(going);
  }
  result.basis = basis.rows();
  return result;
}

namespace {

// The k outermost values from one end; without a basis, copies of converged values are passed over.
std::vector<size_t> choose(const TridiagonalEigen& eigen, double tail, int64_t k, bool from_top,
                           bool drop_ghosts, double eps) {
  const size_t m = eigen.values.size();
  const double scale = std::max(std::abs(eigen.values.front()), std::abs(eigen.values.back()));
  std::vector<size_t> chosen;
  for (size_t i = 0; i < m && static_cast<int64_t>(chosen.size()) < k; ++i) {
    const size_t at = from_top ? m - 1 - i : i;
    if (drop_ghosts && !chosen.empty()) {
      const size_t last = chosen.back();
      const double near = std::abs(tail * eigen.last[last]) + 100 * eps * scale;
      if (std::abs(eigen.values[at] - eigen.values[last]) <= near) continue;
    }
    chosen.push_back(at);
  }
  return chosen;
}

}  // namespace

ExtremePairs ritz_pairs(const LanczosResult& run, const RitzOptions& options) {
  check_range("probe", options.probe, 0, static_cast<int64_t>(run.T.size()) - 1);
  check_at_least("largest", options.largest, 0);
  check_at_least("smallest", options.smallest, 0);
  check_non_negative("tolerance", options.tolerance);
  const auto& T = run.T[static_cast<size_t>(options.probe)];
  const bool vectors = options.vectors && run.basis.defined();
  const auto eigen = eigh_tridiagonal(T, vectors);
  const double tolerance = options.tolerance > 0 ? options.tolerance : std::sqrt(run.epsilon);
  const double scale = std::max(std::abs(eigen.values.front()), std::abs(eigen.values.back()));
  const int64_t m = T.order();

  ExtremePairs out;
  out.products = run.products;
  out.all_converged = true;
  const auto gather = [&](int64_t k, bool from_top) {
    const auto chosen = choose(eigen, T.tail, k, from_top, run.may_have_ghosts(), run.epsilon);
    EigenPairs pairs;
    const auto count = static_cast<int64_t>(chosen.size());
    pairs.values = torch::empty({count}, torch::kFloat64);
    auto S = torch::empty({count, vectors ? m : 0}, torch::kFloat64);
    for (int64_t i = 0; i < count; ++i) {
      const size_t at = chosen[static_cast<size_t>(i)];
      // The recursion's bound holds to rounding of the products and no further.
      const double theta = eigen.values[at];
      const double bound = std::max(std::abs(T.tail * eigen.last[at]), run.epsilon * scale);
      pairs.values[i] = theta;
      pairs.residual_bounds.push_back(bound);
      pairs.converged.push_back(
          detail::pair_converged(bound, theta, tolerance, run.epsilon, scale));
      out.all_converged = out.all_converged && pairs.converged.back();
      for (int64_t row = 0; vectors && row < m; ++row) {
        S[i][row] = eigen.vectors[static_cast<size_t>(row) * eigen.values.size() + at];
      }
    }
    if (vectors) {
      const auto Q = run.basis[options.probe].narrow(0, 0, m);
      const bool rounded = run.store == BasisStore::bfloat16 || run.store == BasisStore::float16;
      // A rounded basis' vectors are exact to 2^-9 at best: float32 holds them, or the start's
      // dtype.
      const auto dtype = !rounded              ? Q.scalar_type()
                         : run.epsilon < 1e-10 ? torch::kDouble
                                               : torch::kFloat;
      pairs.vectors = detail::combine_rows(S, Q, Q.options().dtype(dtype));
      if (rounded) {
        for (int64_t i = 0; i < count; ++i) detail::normalise("vectors", pairs.vectors[i]);
      }
    }
    return pairs;
  };
  out.largest = gather(options.largest, true);
  out.smallest = gather(options.smallest, false);
  return out;
}

}  // namespace ritz
