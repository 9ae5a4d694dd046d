#include "ritz/design/dpp.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "ritz/base/error.h"
#include "ritz/design/detail/variates.h"
#include "ritz/krylov/detail/slab_kernels.h"

namespace ritz::design {
namespace {

using detail::Variates;
using ritz::detail::kMaxSlab;
using ritz::detail::Rows;
using ritz::detail::Storage;
using SlabBuffer = ritz::detail::SlabBuffer<>;

constexpr int64_t kMostRejections = 200;  // times m, for one point; the last expects m proposals

Rows rows_of(const double* data, int64_t count, int64_t stride) {
  return {data, count, stride, Storage::float64};
}

// found[i] = rows_i . v and v -= sum_i c_i rows_i, by slabs that stay in the first cache.
void dot(const Rows& rows, const double* v, int64_t m, SlabBuffer& buffer, double* found) {
  std::fill_n(found, rows.count, 0.0);
  for (int64_t at = 0; at < m; at += kMaxSlab) {
    const int64_t length = std::min(kMaxSlab, m - at);
    load_slab(rows_of(v, 1, m), at, length, buffer.w);
    dot_slab(rows, at, length, buffer.w, found);
  }
}
void subtract(const Rows& rows, const double* c, double* v, int64_t m, SlabBuffer& buffer) {
  for (int64_t at = 0; at < m; at += kMaxSlab) {
    const int64_t length = std::min(kMaxSlab, m - at);
    load_slab(rows_of(v, 1, m), at, length, buffer.w);
    subtract_slab(rows, c, at, length, buffer.w);
    store_slab(rows_of(v, 1, m), at, length, buffer.w);
  }
}

double normalise(double* v, int64_t m) {
  double square = 0;
  for (int64_t j = 0; j < m; ++j) square += v[j] * v[j];
  const double norm = std::sqrt(square), scale = norm > 0 ? 1 / norm : 0;
  for (int64_t j = 0; j < m; ++j) v[j] *= scale;
  return norm;
}

// Chain rule. Invariant: the rows of V [k, m] are an orthonormal basis of span(phi(x_1) ...
// phi(x_k)); the next point has density ||phi(x) - V^T V phi(x)||^2 / (m - k) with respect to mu.
//
// Proposals x ~ (k / m) mu stay with probability ||q - V^T V q||^2, q = phi(x) / ||phi(x)||. They
// come in blocks, so that V q is one product [block, m] x [m, k]; each is judged in its turn by the
// V of that moment (the rest of the block gets its coefficients along a new row of V by one more
// column), so nothing is discarded and the law is that of one proposal at a time. Cost: sum_k 2 k
// m^2 / (m - k) = 2 m^3 (H_m - 1) flops by blocks, 3 m^3 to orthogonalise.
class ChainRule {
 public:
  ChainRule(const Space& space, Variates& variates, double* points)
      : space_(space),
        variates_(variates),
        points_(points),
        m_(space.size()),
        d_(space.dim()),
        V_(torch::empty({m_, m_}, torch::kFloat64)) {}

  int64_t run() {
    while (k_ < m_) block();
    return proposals_;
  }

 private:
  void block() {
    const int64_t n = std::clamp<int64_t>(2 * m_ / (m_ - k_), 16, 256);
    x_.resize(static_cast<size_t>(n * d_));
    left_.resize(static_cast<size_t>(n));
    found_.resize(static_cast<size_t>(std::max(n, m_)));
    Tensor q = torch::empty({n, m_}, torch::kFloat64);
    // Row i: coefficients of q_i along V's rows; columns beyond k are filled as points are taken.
    Tensor c = torch::empty({n, m_}, torch::kFloat64);
    auto *Q = q.data_ptr<double>(), *C = c.data_ptr<double>();
    space_.draw_christoffel(n, variates_, x_.data(), Q);
    for (int64_t i = 0; i < n; ++i) {
      if (!std::isfinite(normalise(Q + i * m_, m_)))
        throw Unsupported("DPP: the basis overflows at a proposed point; take a lower degree");
    }
    if (k_ > 0) c.narrow(1, 0, k_).copy_(q.mm(V_.narrow(0, 0, k_).t()));
    for (int64_t i = 0; i < n; ++i) {
      double square = 0;
      for (int64_t j = 0; j < k_; ++j) square += C[i * m_ + j] * C[i * m_ + j];
      left_[static_cast<size_t>(i)] = 1 - square;
    }
    for (int64_t i = 0; i < n && k_ < m_; ++i) {
      ++proposals_;
      if (variates_.uniform() >= left_[static_cast<size_t>(i)]) {
        if (++rejected_ > kMostRejections * m_) fail();
        continue;
      }
      if (!append(Q + i * m_, C + i * m_)) {
        if (++rejected_ > kMostRejections * m_) fail();
        continue;
      }
      std::copy_n(x_.data() + i * d_, d_, points_ + (k_ - 1) * d_);
      rejected_ = 0;
      const double* v = V_.data_ptr<double>() + (k_ - 1) * m_;
      dot(rows_of(Q + (i + 1) * m_, n - i - 1, m_), v, m_, buffer_, found_.data());
      for (int64_t j = i + 1; j < n; ++j) {
        const double along = found_[static_cast<size_t>(j - i - 1)];
        C[j * m_ + k_ - 1] = along;
        left_[static_cast<size_t>(j)] -= along * along;
      }
    }
  }

  // V's next row: q less its part in V, orthogonalised again where cancellation asks for it (one
  // pass, as in DPPy, loses orthogonality from m of about 200 on). False where q is in V to
  // rounding.
  bool append(const double* q, const double* c) {
    double* v = V_.data_ptr<double>() + k_ * m_;
    const Rows V = rows_of(V_.data_ptr<double>(), k_, m_);
    std::copy_n(q, m_, v);
    if (k_ > 0) subtract(V, c, v, m_, buffer_);
    double norm = normalise(v, m_);
    // Twice is enough (Kahan & Parlett); a residual at the level of rounding has no direction.
    if (norm < 1e-7) return false;
    if (k_ > 0 && norm < 0.7) {
      dot(V, v, m_, buffer_, found_.data());
      subtract(V, found_.data(), v, m_, buffer_);
      norm = normalise(v, m_);
    }
    ++k_;
    return true;
  }

  [[noreturn]] void fail() const {
    throw NotConverged("DPP: " + std::to_string(rejected_) + " proposals for point " +
                       std::to_string(k_) + " of " + std::to_string(m_) +
                       " were rejected: the functions are not orthonormal, or not independent");
  }

  const Space& space_;
  Variates& variates_;
  double* points_;
  int64_t m_, d_;
  Tensor V_;       // [m, m], rows 0 ... k - 1 in use
  int64_t k_ = 0;  // points taken
  int64_t proposals_ = 0, rejected_ = 0;
  std::vector<double> x_, left_, found_;
  SlabBuffer buffer_;
};

// The same law with each conditional probability p_i ||phi_i - V^T V phi_i||^2 at hand: 2 N m flops
// and 8 N m bytes a point. The rejection sampler is tested against it.
void draw_conditional(const CandidateSpace& space, Variates& variates, double* points) {
  const Tensor &phi = space.phi(), &p = space.measure();
  const int64_t m = space.size();
  Tensor V = torch::zeros({m, m}, torch::kFloat64);
  Tensor left = phi.square().sum(1);
  for (int64_t k = 0; k < m; ++k) {
    if (k > 0 && k % 32 == 0)  // differences of squares lose digits
      left = (phi - phi.mm(V.narrow(0, 0, k).t()).mm(V.narrow(0, 0, k))).square().sum(1);
    const Tensor sums = (p * left.clamp_min(0)).cumsum(0);
    const auto* sum = sums.data_ptr<double>();
    const int64_t N = sums.size(0);
    const double wanted = variates.uniform() * sum[N - 1];
    const int64_t i = std::upper_bound(sum, sum + N - 1, wanted) - sum;
    points[k] = static_cast<double>(i);
    Tensor v = phi[i].clone();
    for (int pass = 0; pass < 2 && k > 0; ++pass) {
      const Tensor before = V.narrow(0, 0, k);
      v = v - before.t().mv(before.mv(v));
    }
    V[k] = v / v.norm();
    left = left - phi.mv(V[k]).square();
  }
}

}  // namespace

namespace detail {

int64_t draw_dpp(const Space& space, DppSampler sampler, Variates& variates, double* points) {
  const at::NoGradGuard no_grad;
  if (sampler == DppSampler::conditional) {
    const auto* candidates = dynamic_cast<const CandidateSpace*>(&space);
    if (candidates == nullptr) throw Unsupported("conditional DPP sampler: for candidates only");
    draw_conditional(*candidates, variates, points);
    return 0;
  }
  if (sampler != DppSampler::rejection && space.draw_dpp(variates, points)) return 0;
  if (sampler == DppSampler::tridiagonal) {
    throw Unsupported(
        "tridiagonal DPP sampler: only for polynomials of all degrees below m in one variable");
  }
  return ChainRule(space, variates, points).run();
}

}  // namespace detail

Tensor sample_dpp(const Space& space, const DppOptions& options) {
  detail::Variates variates(options.seed, stream_id("design/dpp", options.draw));
  Tensor points = torch::empty({space.size(), space.dim()}, torch::kFloat64);
  detail::draw_dpp(space, options.sampler, variates, points.data_ptr<double>());
  return dynamic_cast<const CandidateSpace*>(&space) != nullptr ? points.to(torch::kInt64) : points;
}

}  // namespace ritz::design
