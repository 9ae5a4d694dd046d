#include "ritz/design/detail/square_sampler.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ritz/base/error.h"

namespace ritz::design::detail {
namespace {

constexpr double kPhase = 0.4;  // of an oscillation in one cell: bounds are then 4 / 3 of the mass

double sum_of_exponents(const Family& f) {
  return f.kind == FamilyKind::jacobi ? f.a + f.b : 0;
}

bool on_interval(const Family& f) {
  return f.kind == FamilyKind::legendre || f.kind == FamilyKind::jacobi;
}

// The constants of the singular parts of Q; 0 where there is none.
double singular(double exponent) {
  return std::abs(0.25 - exponent * exponent);
}

}  // namespace

SquareSampler::SquareSampler(const Family& family, int64_t count) : functions_(family, count) {
  if (family.kind == FamilyKind::trigonometric) return;
  const auto top = static_cast<double>(count - 1);
  double end = 0, width = 0;
  if (on_interval(family)) {
    end = std::numbers::pi;
    width = kPhase / (top + std::max(1.0, (sum_of_exponents(family) + 1) / 2));
  } else {
    // Beyond the turning point u falls faster than e^{-s^2 / 4} (hermite), e^{-s^2} (laguerre), s
    // the distance: what is cut off is below rounding.
    const bool line = family.kind == FamilyKind::hermite;
    const double energy = line ? top + 0.5 : 4 * top + 2 * family.a + 2;
    const double turn = line ? 2 * std::sqrt(energy) : std::sqrt(energy);
    end = turn + (line ? 8 : 6);
    start_ = line ? -end : 0;
    const double tail = line ? end * end / 4 : end * end;  // |Q| is at most this there
    width = std::min(kPhase / std::sqrt(energy), 1.4 / std::sqrt(tail));
  }
  cells_ = static_cast<int64_t>(std::ceil((end - start_) / width));
  width_ = (end - start_) / static_cast<double>(cells_);

  // |u| at all cell borders for all k, then the bounds.
  const auto n = static_cast<size_t>(count), stride = static_cast<size_t>(cells_) + 1;
  std::vector<double> values(n), at_start(n), at_end(n), u(n * stride);
  functions_.evaluate(point(start_), at_start.data());
  functions_.evaluate(point(end), at_end.data());
  for (size_t c = 0; c < stride; ++c) {
    const double t = start_ + width_ * static_cast<double>(c);
    functions_.evaluate(point(t), values.data());
    const double root = std::sqrt(weight(t));
    for (size_t k = 0; k < n; ++k) u[k * stride + c] = std::abs(values[k]) * root;
  }
  mass_.assign(n * stride, 0);
  for (size_t k = 0; k < n; ++k) {
    for (size_t c = 0; c + 1 < stride; ++c) {
      const double left = start_ + width_ * static_cast<double>(c), right = left + width_;
      const double gap =
          width_ * width_ / 8 * largest_potential(static_cast<double>(k), left, right);
      double most = 0;
      if (gap < 0.5) {
        const double border = std::max(u[k * stride + c], u[k * stride + c + 1]) / (1 - gap);
        most = border * border;
      } else {
        const bool first = left < (start_ + end) / 2 || !on_interval(family);
        const double edge = first ? at_start[k] : at_end[k];
        most = edge * edge * largest_weight(left, right);
      }
      mass_[k * stride + c + 1] = mass_[k * stride + c] + most;
    }
  }
}

double SquareSampler::point(double t) const {
  const auto& f = functions_.family();
  if (on_interval(f)) return std::cos(t);
  return f.kind == FamilyKind::hermite ? t : t * t;
}

double SquareSampler::weight(double t) const {
  const auto& f = functions_.family();
  if (f.kind == FamilyKind::legendre) return std::max(0.0, std::sin(t));
  if (f.kind == FamilyKind::hermite) return std::exp(-t * t / 2);
  if (f.kind == FamilyKind::laguerre) return std::pow(t, 2 * f.a + 1) * std::exp(-t * t);
  return std::pow(std::sin(t / 2), 2 * f.a + 1) *
         std::pow(std::max(0.0, std::cos(t / 2)), 2 * f.b + 1);
}

double SquareSampler::largest_potential(double k, double left, double right) const {
  const auto& f = functions_.family();
  if (f.kind == FamilyKind::hermite) {
    const double far = std::max(left * left, right * right) / 4, energy = k + 0.5;
    return std::max(energy, far - energy);
  }
  if (f.kind == FamilyKind::laguerre) {
    const double energy = 4 * k + 2 * f.a + 2;
    const double pole = singular(f.a);
    return std::max(energy, right * right) + (pole == 0 ? 0 : pole / (left * left));
  }
  const double frequency = k + (sum_of_exponents(f) + 1) / 2;
  const double poles[] = {singular(f.a), singular(f.b)};
  const double near[] = {std::sin(left / 2), std::cos(right / 2)};
  double most = frequency * frequency;
  for (int i = 0; i < 2; ++i)
    if (poles[i] != 0) most += poles[i] / (4 * std::pow(std::max(near[i], 1e-300), 2));
  return most;
}

double SquareSampler::largest_weight(double left, double right) const {
  const auto& f = functions_.family();
  if (f.kind == FamilyKind::laguerre) return std::pow(right, 2 * f.a + 1) * std::exp(-left * left);
  if (f.kind == FamilyKind::legendre)
    return std::max(std::sin(left), std::sin(right));  // never near the middle
  // Either factor grows away from its own end.
  return std::pow(std::sin(right / 2), 2 * f.a + 1) * std::pow(std::cos(left / 2), 2 * f.b + 1);
}

double SquareSampler::squared(int64_t k, double t, double* work) const {
  functions_.evaluate(point(t), work);
  return work[k] * work[k] * weight(t);
}

double SquareSampler::bound(int64_t k, double t) const {
  const auto c = std::clamp<int64_t>(static_cast<int64_t>((t - start_) / width_), 0, cells_ - 1);
  const double* mass = mass_.data() + k * (cells_ + 1) + c;
  return mass[1] - mass[0];
}

double SquareSampler::draw(int64_t k, Variates& variates, double* work) const {
  const auto& f = functions_.family();
  if (f.kind == FamilyKind::trigonometric) {
    if (k == 0) return variates.uniform();
    for (;;) {
      const double x = variates.uniform();
      const double angle = 2 * std::numbers::pi * static_cast<double>((k + 1) / 2) * x;
      const double wave = k % 2 == 1 ? std::cos(angle) : std::sin(angle);
      if (variates.uniform() < wave * wave) return x;
    }
  }
  const double* mass = mass_.data() + k * (cells_ + 1);
  const double* last = mass + cells_ + 1;
  for (;;) {
    const double wanted = variates.uniform() * mass[cells_];
    const double* above = std::upper_bound(mass + 1, last - 1, wanted);
    const double most = above[0] - above[-1];
    // What is left of `wanted` within its cell is uniform there.
    const double part = most > 0 ? (wanted - above[-1]) / most : 0;
    const double t = start_ + width_ * (static_cast<double>(above - 1 - mass) + part);
    const double x = point(t);
    functions_.evaluate(x, work);
    if (variates.uniform() * most < work[k] * work[k] * weight(t)) return x;
  }
}

}  // namespace ritz::design::detail
