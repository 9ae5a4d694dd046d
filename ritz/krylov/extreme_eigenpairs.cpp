#include "ritz/krylov/extreme_eigenpairs.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/krylov/detail/orthogonalise.h"
#include "ritz/krylov/detail/vectors.h"

namespace ritz {
namespace {

// Rows 0..done-1 of Q have been multiplied by A, rows done..size-1 not yet. With full
// reorthogonalisation no structure of H need be assumed, so that one loop serves single vectors and
// blocks, fresh runs and restarted ones, and invariant subspaces. Invariant:
//
//     A Q_done^T = Q_size^T H,   H [size, done],   Q_size orthonormal
//
// H's square part is Hermitian; the residual of a Ritz pair (theta, s) is |H[done:, :] s|.
class Space {
 public:
  Space(const LinearOperator& op, const ExtremeOptions& options, int64_t capacity)
      : op_(op), options_(options), capacity_(capacity) {
    const int64_t rows = std::min(capacity + options.block, op.rows());
    Q_ = detail::allocate_basis(1, rows, op.rows(), op.options())[0];
    H_ = torch::zeros({rows, rows}, Q_.is_complex() ? torch::kComplexDouble : torch::kDouble);
    const auto& start = options.start;
    if (start.defined()) {
      const auto given = start.dim() == 1 ? start.unsqueeze(1) : start;
      for (int64_t i = 0; i < given.size(1); ++i) {
        Q_[size_].copy_(given.select(1, i));
        if (append(false) < 0)
          throw InvalidArgument("start", "independent columns", "dependent ones");
      }
    }
    while (size_ < std::min(options.block, op.rows())) append_random();
  }

  int64_t done() const { return done_; }
  int64_t products() const { return products_; }
  bool full() const { return done_ >= capacity_; }
  bool complete() const { return done_ == op_.rows(); }

  /// Multiplies the next block.
  void advance(int64_t budget) {
    if (size_ == done_) append_random();  // an invariant subspace: go on outside it
    const int64_t k = std::min({size_ - done_, options_.block, budget});
    const auto X = Q_.narrow(0, done_, k);
    const auto Y = op_.apply(k == 1 ? X[0] : X.t());
    products_ += k;
    for (int64_t i = 0; i < k; ++i) {
      if (size_ == Q_.size(0)) {  // the whole space: only coefficients are left to find
        auto w = (k == 1 ? Y : Y.select(1, i)).clone();
        const auto found = detail::orthogonalise(Q_, {}, w);
        check_finite(found.norm.item<double>());
        H_.select(1, done_ + i).copy_(found.coefficients);
      } else {
        Q_[size_].copy_(k == 1 ? Y : Y.select(1, i));
        append(true, done_ + i);
      }
    }
    done_ += k;
  }

  struct Ritz {
    Tensor values;  // ascending, float64 [done]
    Tensor S;       // eigenvectors in columns [done, done]
    Tensor bounds;  // float64 [done]
  };
  Ritz ritz() const {
    const auto square = H_.slice(0, 0, done_).slice(1, 0, done_);
    auto [values, S] = at::linalg_eigh((square + square.mH()) / 2);
    const auto rest = H_.slice(0, done_, size_).slice(1, 0, done_);
    const auto bounds = size_ == done_ ? torch::zeros({done_}, torch::kFloat64)
                                       : at::linalg_vector_norm(rest.mm(S), 2, at::IntArrayRef{0});
    return {values, S, bounds};
  }

  /// Keeps the Ritz vectors of columns `keep` and the rows not yet multiplied.
  void restart(const Ritz& ritz, const Tensor& keep) {
    const int64_t k = keep.size(0), waiting = size_ - done_;
    const auto S = ritz.S.index_select(1, keep);
    detail::combine_rows_in_place(S.t().contiguous(), Q_.narrow(0, 0, done_));
    for (int64_t i = 0; i < waiting; ++i) Q_[k + i].copy_(Q_[done_ + i]);
    const auto coupling = H_.slice(0, done_, size_).slice(1, 0, done_).mm(S);
    H_.zero_();
    H_.slice(0, 0, k).slice(1, 0, k).copy_(torch::diag(ritz.values.index_select(0, keep)));
    H_.slice(0, k, k + waiting).slice(1, 0, k).copy_(coupling);
    done_ = k;
    size_ = k + waiting;
  }

  /// Rows of Ritz vectors.
  Tensor vectors(const Tensor& S) const {
    return detail::combine_rows(S.t().contiguous(), Q_.narrow(0, 0, done_), Q_.options());
  }

 private:
  // Row size_ is orthogonalised against all before it, and kept unless nothing but rounding is
  // left. Its coefficients go to H's column. Returns its index or -1.
  int64_t append(bool record, int64_t column = 0) {
    const auto before = Q_.narrow(0, 0, size_);
    const auto w = Q_[size_];
    const auto found = detail::orthogonalise(before, {}, w);
    const double norm = found.norm.item<double>();
    check_finite(norm);
    const double size =
        std::hypot(norm, found.coefficients.numel()
                             ? at::linalg_vector_norm(found.coefficients, 2).item<double>()
                             : 0.0);
    scale_ = record ? std::max(scale_, size) : scale_;
    const double reference = record ? scale_ : size;
    if (record) H_.select(1, column).slice(0, 0, size_).copy_(found.coefficients);
    const double eps = detail::epsilon(Q_.options());
    if (norm <= eps * std::sqrt(static_cast<double>(op_.rows())) * reference) return -1;
    w.div_(norm);
    if (record) H_[size_][column] = norm;
    return size_++;
  }

  void append_random() {
    for (int attempt = 0; attempt < 8; ++attempt) {
      detail::fill_start(Q_[size_], options_.seed, stream_id("extreme/start", drawn_++),
                         StartVector::gaussian);
      if (append(false) >= 0) return;
    }
    throw NotConverged("extreme_eigenpairs: no vector outside an invariant subspace of dimension " +
                       std::to_string(size_) + " was found");
  }

  void check_finite(double norm) const {
    if (std::isfinite(norm)) return;
    throw NotConverged("extreme_eigenpairs: the operator's product is not finite after " +
                       std::to_string(products_) + " products");
  }

  const LinearOperator& op_;
  const ExtremeOptions& options_;
  int64_t capacity_;
  Tensor Q_;  // [capacity + block, P]
  Tensor H_;  // on the CPU
  int64_t done_ = 0;
  int64_t size_ = 0;
  int64_t products_ = 0;
  uint64_t drawn_ = 0;
  double scale_ = 0;  // the largest |A q| so far
};

int64_t basis_capacity(const LinearOperator& op, const ExtremeOptions& options) {
  const int64_t P = op.rows(), k = options.largest + options.smallest;
  // A restart must keep k vectors, take one block and gain at least one step.
  const int64_t least = std::min(P, k + 2 * options.block + 1);
  int64_t capacity = options.max_basis > 0 ? options.max_basis : std::max<int64_t>(2 * k + 20, 40);
  if (options.max_basis > 0 && options.max_basis < least) {
    throw InvalidArgument("max_basis", "at least " + std::to_string(least),
                          std::to_string(options.max_basis));
  }
  if (options.memory_limit > 0) {
    const int64_t row = P * static_cast<int64_t>(op.options().dtype().itemsize());
    const int64_t rows = options.memory_limit / row - options.block;
    if (rows < least) {
      throw InvalidArgument("memory_limit",
                            "at least " + std::to_string((least + options.block) * row) + " bytes",
                            std::to_string(options.memory_limit));
    }
    capacity = std::min(capacity, rows);
  }
  return std::min(std::max(capacity, least), P);
}

void check(const LinearOperator& op, const ExtremeOptions& options) {
  detail::check_square("op", op);
  check_at_least("largest", options.largest, 0);
  check_at_least("smallest", options.smallest, 0);
  check_range("largest + smallest", options.largest + options.smallest, 1, op.rows());
  check_non_negative("tolerance", options.tolerance);
  check_at_least("max_products", options.max_products, 1);
  check_at_least("max_basis", options.max_basis, 0);
  check_at_least("memory_limit", options.memory_limit, 0);
  check_range("block", options.block, 1, op.rows());
  if (options.start.defined()) {
    if (options.start.dim() == 2) {
      check_shape("start", options.start, {op.rows(), -1});
      check_range("start's columns", options.start.size(1), 1, options.block);
    } else {
      check_shape("start", options.start, {op.rows()});
    }
    check_options("start", options.start, op.options());
  }
}

// Columns of the wanted pairs among m ascending ones: the largest first, then the smallest.
struct Wanted {
  std::vector<int64_t> largest;   // descending
  std::vector<int64_t> smallest;  // ascending
};
Wanted wanted_columns(int64_t m, int64_t largest, int64_t smallest) {
  Wanted out;
  for (int64_t i = 0; i < std::min(largest, m); ++i) out.largest.push_back(m - 1 - i);
  for (int64_t i = 0; i < std::min(smallest, m); ++i) out.smallest.push_back(i);
  return out;
}

}  // namespace

ExtremePairs extreme_eigenpairs(const LinearOperator& op, const ExtremeOptions& options) {
  check(op, options);
  const int64_t capacity = basis_capacity(op, options);
  const int64_t k = options.largest + options.smallest;
  const double eps = detail::epsilon(op.options());
  const double tolerance = options.tolerance > 0 ? options.tolerance : std::sqrt(eps);

  Space space(op, options, capacity);
  ExtremePairs out;
  Space::Ritz ritz;
  const auto converged = [&](int64_t column) {
    const double scale = ritz.values.abs().max().item<double>();
    return detail::pair_converged(ritz.bounds[column].item<double>(),
                                  ritz.values[column].item<double>(), tolerance, eps, scale);
  };
  int64_t next_look = k;
  while (true) {
    space.advance(options.max_products - space.products());
    const bool spent = space.products() >= options.max_products;
    // The small problem costs O(m^3): it is solved every few steps, and where the basis is full.
    if (!spent && !space.full() && !space.complete() && space.done() < next_look) continue;
    next_look = space.done() + std::max<int64_t>(4, space.done() / 8);
    ritz = space.ritz();
    const auto wanted = wanted_columns(space.done(), options.largest, options.smallest);
    out.all_converged = space.done() >= k;
    for (const auto column : wanted.largest)
      out.all_converged = out.all_converged && converged(column);
    for (const auto column : wanted.smallest) {
      out.all_converged = out.all_converged && converged(column);
    }
    if (out.all_converged || spent || space.complete()) break;
    if (!space.full()) continue;
    // Keep the wanted ones and, at the same ends, about half of the room left: they stand for what
    // would be found again (Wu and Simon: thick restarts converge like far longer unrestarted
    // runs).
    const int64_t extra = std::max<int64_t>(0, (capacity - options.block - k) / 2);
    const int64_t top = options.largest + extra * options.largest / k;
    const int64_t bottom = options.smallest + extra * options.smallest / k;
    std::vector<int64_t> keep;
    for (int64_t i = 0; i < space.done(); ++i) {
      if (i < bottom || i >= space.done() - top) keep.push_back(i);
    }
    space.restart(ritz, torch::tensor(keep, torch::kLong));
    next_look = space.done() + 1;
    ++out.restarts;
  }

  const auto wanted = wanted_columns(space.done(), options.largest, options.smallest);
  const auto gather = [&](const std::vector<int64_t>& columns) {
    EigenPairs pairs;
    const auto index = torch::tensor(columns, torch::kLong);
    pairs.values = ritz.values.index_select(0, index);
    pairs.vectors = space.vectors(ritz.S.index_select(1, index));
    for (const auto column : columns) {
      pairs.residual_bounds.push_back(ritz.bounds[column].item<double>());
      pairs.converged.push_back(converged(column));
    }
    if (options.true_residuals) {
      pairs.residuals = detail::true_residuals(op, pairs.values, pairs.vectors);
    }
    return pairs;
  };
  out.largest = gather(wanted.largest);
  out.smallest = gather(wanted.smallest);
  out.products = space.products();
  if (options.require_converged && !out.all_converged) {
    throw NotConverged("extreme_eigenpairs: residuals are above tolerance after " +
                       std::to_string(out.products) + " products");
  }
  return out;
}

}  // namespace ritz
