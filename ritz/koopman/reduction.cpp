#include "ritz/koopman/reduction.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/interrupt.h"
#include "ritz/dist/sharded_sum.h"
#include "ritz/koopman/detail/float64.h"

namespace ritz::koopman {
namespace {

using Route = ReductionOptions::Route;

constexpr double kQrTolerance = 1e-10, kGramTolerance = 1e-7;

Tensor rows_at(const Tensor& matrix, const Tensor& rows) {
  const int64_t n = rows.size(0);
  const int64_t first = rows[0].item<int64_t>();
  if (rows[n - 1].item<int64_t>() - first == n - 1) return matrix.narrow(0, first, n);
  return matrix.index_select(0, rows.to(matrix.device()));
}

/// sqrt(w) in front of the rows; equal weights are put in at the end.
void weigh(PairValues& values, const Snapshots& snapshots, int64_t begin, int64_t end) {
  if (!snapshots.weights.defined()) return;
  const Tensor root =
      snapshots.weights.slice(0, begin, end).sqrt().to(values.x.device()).unsqueeze(1);
  values.x = values.x * root;
  values.y = values.y * root;
}

double common_weight(const Snapshots& snapshots) {
  return snapshots.weights.defined() ? 1 : 1 / static_cast<double>(snapshots.pairs());
}

void check_fit(const Dictionary& dictionary, const Snapshots& snapshots) {
  if (snapshots.pairs() < 1) {
    throw InvalidArgument("snapshots", "at least one pair (two snapshots)", "none");
  }
  if (dictionary.dimension() != snapshots.dimension()) {
    throw InvalidArgument("snapshots", std::to_string(dictionary.dimension()) + " features",
                          std::to_string(snapshots.dimension()));
  }
}

dist::Shard share(const Snapshots& snapshots, dist::ProcessGroup* group) {
  if (group == nullptr) return {0, snapshots.pairs()};
  return dist::shard_of(snapshots.pairs(), group->rank(), group->world_size());
}

/// The triangle of QR, square whatever the rows, with a diagonal >= 0: then it is unique, and does
/// not depend on how the rows were divided.
Tensor triangle(const Tensor& rows) {
  const int64_t columns = rows.size(1);
  Tensor stacked = rows;
  if (rows.size(0) < columns) {
    stacked = torch::cat({rows, rows.new_zeros({columns - rows.size(0), columns})});
  }
  const Tensor R = std::get<1>(at::linalg_qr(stacked, "r"));
  const Tensor diagonal = R.diagonal();
  const Tensor size = diagonal.abs();
  const Tensor phase =
      at::where(size > 0, diagonal.conj() / size.clamp_min(1e-300), torch::ones_like(diagonal));
  return phase.unsqueeze(1) * R;
}

/// Columns of R whose part orthogonal to the others is above the tolerance, by modified
/// Gram-Schmidt with pivoting on columns of length 1, rising. Cost: 4 n^3 flops (8 with the second
/// pass), only where R is found deficient.
Tensor independent_columns(const Tensor& R, double tolerance) {
  const int64_t n = R.size(1);
  const Tensor length = at::linalg_vector_norm(R, 2, 0);
  const Tensor scaled = R / length.clamp_min(1e-300).unsqueeze(0);
  const Tensor present = length > length.max() * 1e-150;
  if (present.all().item<bool>() &&
      at::linalg_svdvals(scaled)[n - 1].item<double>() > tolerance * std::sqrt(double(n))) {
    return torch::arange(n, torch::kInt64);
  }
  Tensor rest = scaled * present.to(scaled.dtype()).unsqueeze(0);
  std::vector<int64_t> kept;
  while (static_cast<int64_t>(kept.size()) < n) {
    const Tensor sizes = at::linalg_vector_norm(rest, 2, 0);
    const int64_t pivot = sizes.argmax().item<int64_t>();
    if (!(sizes[pivot].item<double>() > tolerance)) break;
    kept.push_back(pivot);
    const Tensor q = (rest.select(1, pivot) / sizes[pivot]).unsqueeze(1);
    for (int pass = 0; pass < 2; ++pass) rest = rest - q.matmul(q.mH().matmul(rest));
    rest.select(1, pivot).zero_();
  }
  std::sort(kept.begin(), kept.end());
  return torch::tensor(kept, torch::kInt64);
}

/// From the triangle of [PX PY], [2N, 2N].
Reduction from_triangle(const Tensor& joint, int64_t pairs, double tolerance, double floor) {
  const int64_t N = joint.size(1) / 2;
  Reduction result;
  result.functions = N;
  result.pairs = pairs;
  result.floor = floor;
  result.kept = independent_columns(joint.slice(0, 0, N).slice(1, 0, N), tolerance);
  const int64_t n = result.kept.size(0);
  if (n == 0) throw InvalidArgument("dictionary", "functions that do not vanish", "all zero");
  Tensor T = joint;
  if (n < N) {
    const Tensor columns = torch::cat({result.kept, result.kept + N}).to(joint.device());
    T = triangle(joint.index_select(1, columns));
  }
  result.R = T.slice(0, 0, n).slice(1, 0, n).contiguous();
  const Tensor images = T.slice(1, n).contiguous();  // [C; F]
  const Tensor solved = at::linalg_solve_triangular(result.R, images, /*upper=*/true,
                                                    /*left=*/false);
  result.A = solved.slice(0, 0, n).contiguous();
  result.S = solved.slice(0, n, 2 * n).triu().contiguous();
  return result;
}

/// An upper triangular F with F^* F = H for H >= 0 up to rounding.
Tensor semidefinite_root(const Tensor& H) {
  const auto [values, vectors] = at::linalg_eigh(H);
  return triangle(values.clamp_min(0).sqrt().unsqueeze(1) * vectors.mH());
}

}  // namespace

PairValues evaluate(const Dictionary& dictionary, const Snapshots& snapshots, int64_t begin,
                    int64_t end) {
  if (snapshots.consecutive() && end > begin) {
    const Tensor rows = snapshots.rows.slice(0, begin, end);
    const int64_t first = rows[0].item<int64_t>(), last = rows[-1].item<int64_t>() + 1;
    if (last - first + 1 < 2 * (end - begin)) {
      const Tensor all = dictionary(snapshots.states.slice(0, first, last + 1));
      return {rows_at(all, rows - first), rows_at(all, rows - first + 1)};
    }
  }
  return {dictionary(snapshots.x(begin, end)), dictionary(snapshots.y(begin, end))};
}

// Cost: 6 M N^2 flops (24 complex) in products of [N, block] by [block, N]; each state is read
// once.
GramMatrices gram_matrices(const Dictionary& dictionary, const Snapshots& snapshots,
                           const ReductionOptions& options) {
  check_fit(dictionary, snapshots);
  check_at_least("block", options.block, 1);
  const auto mine = share(snapshots, options.group);
  const int64_t N = dictionary.size();
  Tensor all;
  for (int64_t begin = mine.begin; begin < mine.end; begin += options.block) {
    const int64_t end = std::min(begin + options.block, mine.end);
    PairValues values = evaluate(dictionary, snapshots, begin, end);
    weigh(values, snapshots, begin, end);
    if (!all.defined()) all = values.x.new_zeros({3, N, N});
    const Tensor x = values.x.mH(), y = values.y.mH();
    all[0].addmm_(x, values.x);
    all[1].addmm_(x, values.y);
    all[2].addmm_(y, values.y);
    check_interrupt("Gram matrices");
  }
  if (options.group != nullptr) {
    // A rank without rows learns the dtype from the states and the dictionary.
    if (!all.defined()) all = dictionary(snapshots.x(0, 1)).new_zeros({3, N, N});
    options.group->all_reduce_sum(all);
  }
  all *= common_weight(snapshots);
  return {all[0], all[1], all[2], snapshots.pairs()};
}

// Cost: 8 M N^2 flops (32 complex) in Householder QR; 2N x 2N numbers a rank are exchanged.
Reduction reduce(const Dictionary& dictionary, const Snapshots& snapshots,
                 const ReductionOptions& options) {
  check_fit(dictionary, snapshots);
  check_at_least("block", options.block, 1);
  check_non_negative("rank_tolerance", options.rank_tolerance);
  if (options.route == Route::gram) {
    return reduce(gram_matrices(dictionary, snapshots, options), options.rank_tolerance);
  }
  const auto mine = share(snapshots, options.group);
  const int64_t block = std::max(options.block, 8 * dictionary.size());
  Tensor R;
  for (int64_t begin = mine.begin; begin < mine.end; begin += block) {
    const int64_t end = std::min(begin + block, mine.end);
    PairValues values = evaluate(dictionary, snapshots, begin, end);
    weigh(values, snapshots, begin, end);
    const Tensor rows = torch::cat({values.x, values.y}, 1);
    R = triangle(R.defined() ? torch::cat({R, rows}) : rows);
    check_interrupt("QR of the dictionary");
  }
  if (options.group != nullptr && options.group->world_size() > 1) {
    if (!R.defined()) {
      R = dictionary(snapshots.x(0, 1)).new_zeros({2 * dictionary.size(), 2 * dictionary.size()});
    }
    R = triangle(options.group->all_gather(R).flatten(0, 1));
  }
  R *= std::sqrt(common_weight(snapshots));
  return from_triangle(R, snapshots.pairs(),
                       options.rank_tolerance > 0 ? options.rank_tolerance : kQrTolerance, 1e-14);
}

Reduction reduce(const GramMatrices& gram, double rank_tolerance) {
  check_dim("G", gram.G, 2);
  check_shape("G", gram.G, {gram.G.size(0), gram.G.size(0)});
  check_shape("A", gram.A, gram.G.sizes());
  check_shape("L", gram.L, gram.G.sizes());
  const double tolerance = rank_tolerance > 0 ? rank_tolerance : kGramTolerance;
  const Tensor scale = at::real(gram.G.diagonal()).clamp_min(0).sqrt();
  const Tensor unit = at::where(scale > 0, 1 / scale, torch::zeros_like(scale));
  const Tensor scaled = unit.unsqueeze(1) * gram.G * unit.unsqueeze(0);
  const Tensor kept = independent_columns(semidefinite_root((scaled + scaled.mH()) / 2), tolerance)
                          .to(gram.G.device());
  if (kept.size(0) == 0) {
    throw InvalidArgument("dictionary", "functions that do not vanish", "all zero");
  }
  const auto part = [&](const Tensor& X) { return X.index_select(0, kept).index_select(1, kept); };
  const auto hermitian = [&](const Tensor& X) { return ((X + X.mH()) / 2).contiguous(); };
  Reduction result;
  result.functions = gram.G.size(0);
  result.pairs = gram.pairs;
  result.floor = 1e-8;
  result.kept = kept.cpu();
  result.R = at::linalg_cholesky(hermitian(part(gram.G)), /*upper=*/true);
  const auto right = [&](const Tensor& X) {  // X R^{-1}
    return at::linalg_solve_triangular(result.R, X.contiguous(), /*upper=*/true, /*left=*/false);
  };
  const auto left = [&](const Tensor& X) { return right(X.mH()).mH(); };  // R^{-*} X
  result.A = left(right(part(gram.A))).contiguous();
  const Tensor L = left(right(part(gram.L)));
  result.S = semidefinite_root(hermitian(L - result.A.mH().matmul(result.A)));
  return result;
}

Tensor Reduction::coefficients(const Tensor& u) const {
  const bool complex = u.is_complex() || R.is_complex();
  const Tensor r = complex ? detail::complex128(R) : R, v = complex ? detail::complex128(u) : u;
  return at::linalg_solve_triangular(r, v.contiguous(), /*upper=*/true);
}

Tensor Reduction::orthonormal(const Tensor& v) const {
  const bool complex = v.is_complex() || R.is_complex();
  return complex ? detail::complex128(R).matmul(detail::complex128(v)) : R.matmul(v);
}

GramMatrices Reduction::gram() const {
  const Tensor C = A.matmul(R), F = S.matmul(R), adjoint = R.mH();
  return {adjoint.matmul(R), adjoint.matmul(C), C.mH().matmul(C) + F.mH().matmul(F), pairs};
}

double isometry_defect(const Reduction& reduction) {
  const Tensor s = at::linalg_svdvals(torch::cat({reduction.A, reduction.S}));
  return (s.square() - 1).abs().max().item<double>();
}

double isometry_threshold(const Reduction& reduction) {
  return 3 * std::sqrt(static_cast<double>(reduction.rank()) /
                       static_cast<double>(std::max<int64_t>(1, reduction.pairs)));
}

}  // namespace ritz::koopman
