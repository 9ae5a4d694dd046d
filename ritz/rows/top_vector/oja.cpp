#include "ritz/rows/top_vector/oja.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/rows/top_vector/detail/row_chunk.h"

namespace ritz::rows {
namespace {

// Rows that are learnt by one product; more would spend more on their Gram matrix.
constexpr int64_t kBlock = 32;
// After so many blocks, or where ||v||^2 is above this, the grid's vectors become unit vectors
// again.
constexpr int64_t kRenewAfter = 32;
constexpr double kRenewAbove = 1e100;
// ||v||^2 beyond which the numbers of a block are scaled down.
constexpr double kLarge = 1e200;

Tensor gaussian(uint64_t seed, int64_t d) {
  RandomStream random(seed, stream_id("oja/start"));
  const Tensor v = random.normal({d}, torch::dtype(torch::kFloat64));
  return v / v.norm();
}

/// One block for one rate: v = scale v_0 + B^T c.
struct Learnt {
  double scale = 1, log_scale = 0;  // v was divided by e^log_scale
  double norm2 = 1;                 // ||v||^2
};

/// Forward substitution y_i = scale p_i + sum_{j < i} c_j K_ij, c_i = eta_i y_i, from ||v_0||^2 =
/// norm2. `K` is [b, b], `p` and `c` have stride `stride`; energy(y_i^2 / ||v_{i-1}||^2) is told of
/// every row. b^2 flops.
template <class Eta, class Energy>
Learnt learn(const double* K, int64_t b, double norm2, const double* p, double* c, int64_t stride,
             const Eta& eta, const Energy& energy) {
  Learnt out{.norm2 = norm2};
  for (int64_t i = 0; i < b; ++i) {
    double y = out.scale * p[i * stride];
    for (int64_t j = 0; j < i; ++j) y += K[i * b + j] * c[j * stride];
    const double rate = eta(i);
    energy(y * y / out.norm2);
    c[i * stride] = rate * y;
    out.norm2 += (2 * rate + rate * rate * K[i * b + i]) * y * y;
    if (out.norm2 > kLarge) {
      const double down = 1 / std::sqrt(out.norm2);
      for (int64_t j = 0; j <= i; ++j) c[j * stride] *= down;
      out.scale *= down;
      out.log_scale -= std::log(down);
      out.norm2 = 1;
    }
  }
  return out;
}

/// What a block [b, d] needs to be learnt by vectors V [G, d] at once.
struct BlockProducts {
  Tensor K, P;  // B B^T [b, b], B V^T [b, G]
};
BlockProducts block_products(const Tensor& B, const Tensor& V) {
  const int64_t b = B.size(0);
  BlockProducts out{torch::empty({b, b}, V.options()), torch::empty({b, V.size(0)}, V.options())};
  detail::row_products(B, B.to(torch::kFloat64).contiguous(), out.K);
  detail::row_products(B, V, out.P);
  return out;
}

int64_t bits_of(const Tensor& tensor) {
  return tensor.defined() ? 64 * tensor.numel() : 0;
}

}  // namespace

Oja::Oja(OjaOptions options) : DirectionStream(options.stream), options_(std::move(options)) {
  check_at_least("rates' count", static_cast<int64_t>(options_.rates.size()), 1);
  for (const double rate : options_.rates) check_positive("rate", rate);
}

void Oja::begin() {
  const auto G = static_cast<int64_t>(options_.rates.size());
  check_fits(64 * G * d());
  V_ = gaussian(options().seed, d()).to(doubles()).unsqueeze(0).repeat({G, 1});
}

void Oja::absorb(const detail::RowChunk& chunk) {
  const int64_t b = chunk.size();
  const auto G = static_cast<int64_t>(options_.rates.size());
  std::vector<double> decay(b);
  for (int64_t i = 0; i < b; ++i) {
    const auto t = static_cast<double>(++t_);
    decay[i] = options_.decay == Decay::constant  ? 1
               : options_.decay == Decay::inverse ? 1 / t
                                                  : 1 / std::sqrt(t);
    decay[i] = std::ldexp(decay[i], 2 * exponent());
  }
  const bool row_by_row = V_.is_cpu() && (G == 1 || !chunk.dense.defined());
  if (row_by_row) {
    std::vector<double> eta(b), y(b);
    for (int64_t g = 0; g < G; ++g) {
      for (int64_t i = 0; i < b; ++i) eta[i] = options_.rates[g] * decay[i];
      const Tensor v = V_[g];
      chunk.dense.defined() ? detail::oja_rows(chunk.dense, chunk.norms, eta, v, y)
                            : detail::oja_rows(chunk.sparse, chunk.norms, eta, v, y);
      if (g == 0)
        for (const double found : y) seen_.add(found * found);
      v.div_(v.norm());
    }
    return;
  }
  const Tensor rows = chunk.rows();
  for (int64_t at = 0; at < b; at += kBlock) {
    const int64_t m = std::min(kBlock, b - at);
    const Tensor B = rows.narrow(0, at, m);
    auto [K, P] = block_products(B, V_);
    K = K.to(torch::kCPU);
    P = P.to(torch::kCPU);
    const Tensor C = torch::empty_like(P), scale = torch::empty({G, 1}, P.options());
    for (int64_t g = 0; g < G; ++g) {
      const auto learnt = learn(
          K.const_data_ptr<double>(), m, 1, P.const_data_ptr<double>() + g,
          C.mutable_data_ptr<double>() + g, G,
          [&](int64_t i) { return options_.rates[g] * decay[at + i]; },
          [&](double energy) {
            if (g == 0) seen_.add(energy);
          });
      scale.mutable_data_ptr<double>()[g] = learnt.scale;
    }
    V_.mul_(scale.to(V_.device()));
    detail::add_combinations(B, C.to(V_.device()), V_);
    V_.div_(V_.norm(2, {1}, true));
  }
}

Tensor Oja::vectors() const {
  return V_.clone();
}

void Oja::finish(const Totals& totals, Direction& direction) {
  direction.vector = V_[0];
  direction.rate = options_.rates[0];
  direction.sigma1 = std::sqrt(seen_.mean() * static_cast<double>(totals.n + totals.centring));
}

int64_t Oja::own_state_bits() const {
  return bits_of(V_) + 8 * static_cast<int64_t>(sizeof(detail::Stretches));
}

OjaGrid::OjaGrid(OjaGridOptions options, dist::ProcessGroup* group)
    : DirectionStream(options.stream),
      options_(std::move(options)),
      group_(group != nullptr ? group : &alone_) {
  check_positive("growth", options_.growth);
  check_at_least("block", options_.block, 1);
  if (group_->world_size() > 1 && (options_.stream.skip_bad || options_.stream.centre))
    throw InvalidArgument("skip_bad and centre", "neither over ranks, which see columns only",
                          options_.stream.centre ? "centre" : "skip_bad");
}

void OjaGrid::begin() {
  const Tensor mine = torch::tensor({d()}, torch::kInt64);
  const Tensor all = group_->all_gather(mine).flatten();
  d_all_ = all.sum().item<int64_t>();
  const int64_t before = all.slice(0, 0, group_->rank()).sum().item<int64_t>();
  check_fits(64 * 20 * d());
  v0_ = gaussian(options().seed, d_all_).narrow(0, before, d()).clone().to(doubles());
  largest_row_ = torch::zeros({d()}, tensor());
}

double OjaGrid::threshold() const {
  return options_.growth * std::log(static_cast<double>(d_all_));
}

// The rates that F2 and the largest row so far ask for: new ones start from v_0, those beyond
// 8 ln d / m2 and those above one that has grown enough go.
void OjaGrid::choose_rates() {
  if (!(squares_ > 0)) return;
  const double cap = 8 * std::max(std::log(static_cast<double>(d_all_)), 1.0) / largest_;
  const int low = static_cast<int>(std::ceil(std::log2(1e-3 / squares_)));
  int high = static_cast<int>(std::floor(std::log2(cap)));
  for (size_t g = 0; g < growth_.size(); ++g)
    if (growth_[g] >= 4 * threshold() && d_all_ > 1) {
      high = std::min(high, low_ + static_cast<int>(g));
      break;
    }
  if (growth_.empty()) low_ = high + 1;
  const int keep = std::clamp(high - low_ + 1, 0, static_cast<int>(growth_.size()));
  const int fresh = std::max(std::min(low_, high + 1) - low, 0);
  const bool fewer = keep < static_cast<int>(growth_.size());
  if (fresh == 0 && !fewer && !growth_.empty()) return;
  std::vector<Tensor> parts;
  if (fresh > 0) parts.push_back(v0_.unsqueeze(0).expand({fresh, d()}));
  if (keep > 0) parts.push_back(V_.narrow(0, 0, keep));
  growth_.resize(keep);
  norm2_.resize(keep);
  seen_.resize(keep);
  growth_.insert(growth_.begin(), fresh, 0.0);
  norm2_.insert(norm2_.begin(), fresh, 1.0);
  seen_.insert(seen_.begin(), fresh, {});
  V_ = torch::cat(parts).contiguous();
  if (fresh > 0) low_ = low;
}

void OjaGrid::absorb(const detail::RowChunk& chunk) {
  if (group_->world_size() > 1 && exponent() != 0)
    throw Unsupported(format_error("rows", "numbers whose squares are in range, over ranks",
                                   "numbers near 2^" + std::to_string(exponent())));
  const Tensor rows = chunk.rows();
  for (int64_t at = 0; at < chunk.size(); at += options_.block)
    take_block(rows.narrow(0, at, std::min(options_.block, chunk.size() - at)));
}

void OjaGrid::take_block(const Tensor& rows) {
  const int64_t b = rows.size(0);
  Tensor K = torch::empty({b, b}, doubles());
  detail::row_products(rows, rows.to(torch::kFloat64).contiguous(), K);
  group_->all_reduce_sum(K);
  K = K.to(torch::kCPU);
  const double* k = K.const_data_ptr<double>();
  for (int64_t i = 0; i < b; ++i) {
    const double norm = k[i * b + i];
    squares_ += norm;
    if (norm <= largest_) continue;
    largest_ = norm;
    largest_row_.copy_(rows[i]);
  }
  choose_rates();
  const auto G = static_cast<int64_t>(growth_.size());
  if (G == 0) return;
  Tensor P = torch::empty({b, G}, doubles());
  detail::row_products(rows, V_, P);
  group_->all_reduce_sum(P);
  P = P.to(torch::kCPU);
  const Tensor C = torch::empty_like(P);
  bool large = false;
  for (int64_t g = 0; g < G; ++g) {
    const double eta = std::ldexp(1.0, low_ + static_cast<int>(g));
    const auto learnt = learn(
        k, b, norm2_[g], P.const_data_ptr<double>() + g, C.mutable_data_ptr<double>() + g, G,
        [&](int64_t) { return eta; }, [&](double energy) { seen_[g].add(energy); });
    if (learnt.scale != 1) V_[g].mul_(learnt.scale);
    growth_[g] += learnt.log_scale + 0.5 * std::log(learnt.norm2 / norm2_[g]);
    norm2_[g] = learnt.norm2;
    large = large || learnt.norm2 > kRenewAbove;
  }
  detail::add_combinations(rows, C.to(V_.device()), V_);
  if (large || ++blocks_ % kRenewAfter == 0) renew_norms();
}

// The norms were carried along by the recursion; here they are measured again and become 1.
void OjaGrid::renew_norms() {
  const Tensor norms2 = V_.square().sum(1, true);
  group_->all_reduce_sum(norms2);
  V_.mul_(norms2.rsqrt());
  const Tensor measured = norms2.to(torch::kCPU);
  for (size_t g = 0; g < growth_.size(); ++g) {
    growth_[g] += 0.5 * std::log(measured.const_data_ptr<double>()[g] / norm2_[g]);
    norm2_[g] = 1;
  }
}

void OjaGrid::gather(Totals& sums) {
  sums.squares = squares_;  // over all columns; every rank has taken the same rows
  sums.largest = largest_;
}

void OjaGrid::finish(const Totals& sums, Direction& direction) {
  size_t chosen = 0;
  while (chosen < growth_.size() && growth_[chosen] < threshold()) ++chosen;
  const bool grew = chosen < growth_.size();
  const double eta = grew ? std::ldexp(1.0, low_ + static_cast<int>(chosen)) : 0;
  const auto n = static_cast<double>(sums.n + sums.centring);
  Tensor mine;
  if (!grew || eta * largest_ >= 1) {
    mine = largest_row_.to(torch::kFloat64);
    direction.sigma1 = std::sqrt(std::max(largest_, grew ? seen_[chosen].mean() * n : 0));
    direction.status.no_growth = !grew && largest_ < 0.9 * squares_;
  } else {
    mine = V_[static_cast<int64_t>(chosen)];
    direction.sigma1 = std::sqrt(seen_[chosen].mean() * n);
    direction.rate = std::ldexp(eta, -2 * exponent());
  }
  direction.vector = torch::cat(group_->all_gather_unequal(mine.contiguous()));
}

void OjaGrid::rescale(double factor) {
  low_ -= 2 * std::ilogb(factor);
  squares_ *= factor * factor;
  largest_ *= factor * factor;
  largest_row_.mul_(factor);
  for (auto& seen : seen_) seen.scale(factor * factor);
}

int64_t OjaGrid::own_state_bits() const {
  const int64_t each = 8 * static_cast<int64_t>(2 * sizeof(double) + sizeof(detail::Stretches));
  return bits_of(v0_) + 8 * largest_row_.numel() * largest_row_.element_size() + bits_of(V_) +
         each * active();
}

}  // namespace ritz::rows
