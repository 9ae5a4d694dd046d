#include "studies/generators/dynamics.h"

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <numbers>

#include "ritz/base/check.h"
#include "ritz/base/random.h"

namespace ritz::studies {
namespace {

using torch::indexing::Ellipsis;
using torch::indexing::Slice;
constexpr double kTwoPi = 2 * std::numbers::pi;
const auto kF64 = torch::kFloat64;

// `steps` steps of dt, each of `substeps` Runge-Kutta steps, for all rows at once: [steps + 1, N,
// d].
template <typename Field>
Tensor integrate(Tensor state, int64_t steps, double dt, int64_t substeps, const Field& field) {
  const double h = dt / static_cast<double>(substeps);
  std::vector<Tensor> path = {state};
  for (int64_t t = 0; t < steps; ++t) {
    for (int64_t s = 0; s < substeps; ++s) {
      const Tensor k1 = field(state), k2 = field(state + h / 2 * k1),
                   k3 = field(state + h / 2 * k2), k4 = field(state + h * k3);
      state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
    }
    path.push_back(state);
  }
  return torch::stack(path);
}

double energy(double x, double y) {
  return y * y / 2 - x * x / 2 + x * x * x * x / 4;
}

// `count` points of the region, by rejection from a box around it.
Tensor duffing_start(const DuffingOptions& options) {
  RandomStream random(options.seed, stream_id("dynamics/duffing"));
  const int64_t n = options.trajectories;
  if (options.region == "square") return random.uniform({n, 2}, kF64, -2, 2);
  if (options.region != "invariant")
    throw InvalidArgument("region", "invariant or square", options.region);
  const Tensor out = torch::empty({n, 2}, kF64);
  auto* to = out.data_ptr<double>();
  const double top = std::sqrt(4.5);  // y^2 / 2 <= 2 + max (x^2 / 2 - x^4 / 4) = 2 + 1/4
  for (int64_t made = 0; made < n;) {
    const Tensor trial = random.uniform({256, 2}, kF64, -1, 1);
    const auto* u = trial.const_data_ptr<double>();
    for (int64_t k = 0; k < 256 && made < n; ++k) {
      const double x = 2 * u[2 * k], y = top * u[2 * k + 1];
      if (energy(x, y) > 2) continue;
      to[2 * made] = x;
      to[2 * made + 1] = y;
      ++made;
    }
  }
  return out;
}

// One trajectory in three dimensions: plain numbers, for a tensor of three costs more than its
// sums.
using State = std::array<double, 3>;
template <typename Field>
Tensor attractor(const FlowOptions& options, std::string_view purpose, const Field& field) {
  check_at_least("steps", options.steps, 1);
  check_at_least("substeps", options.substeps, 1);
  check_positive("dt", options.dt);
  check_non_negative("transient", options.transient);
  RandomStream random(options.seed, stream_id(purpose));
  const Tensor start = random.uniform({3}, kF64, 1, 2);
  State s;
  for (int i = 0; i < 3; ++i) s[static_cast<size_t>(i)] = start[i].item<double>();
  const double h = options.dt / static_cast<double>(options.substeps);
  const auto along = [](const State& a, double t, const State& k) -> State {
    return {a[0] + t * k[0], a[1] + t * k[1], a[2] + t * k[2]};
  };
  const auto step = [&] {
    const State k1 = field(s), k2 = field(along(s, h / 2, k1)), k3 = field(along(s, h / 2, k2)),
                k4 = field(along(s, h, k3));
    for (size_t i = 0; i < 3; ++i) s[i] += h / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
  };
  const auto before = static_cast<int64_t>(std::ceil(options.transient / h));
  for (int64_t t = 0; t < before; ++t) step();
  const Tensor path = torch::empty({options.steps + 1, 3}, kF64);
  auto* to = path.data_ptr<double>();
  for (int64_t t = 0; t <= options.steps; ++t) {
    std::copy(s.begin(), s.end(), to + 3 * t);
    for (int64_t k = 0; k < options.substeps; ++k) step();
  }
  return path;
}

Tensor columns(const std::vector<Tensor>& parts) {
  return torch::stack(parts, -1);
}

// The widest interval between neighbours of sorted numbers.
std::pair<double, double> widest_gap(const Tensor& values) {
  const Tensor sorted = std::get<0>(values.sort());
  const Tensor gaps = sorted.slice(0, 1) - sorted.slice(0, 0, -1);
  const int64_t at = gaps.argmax().item<int64_t>();
  // A little narrower, so that no rounding puts its ends inside.
  const double low = sorted[at].item<double>(), high = sorted[at + 1].item<double>();
  return {low + 1e-6 * (high - low), high - 1e-6 * (high - low)};
}

// 1 in the middle of (low, high), 0 at and beyond its ends, with all derivatives.
Tensor bump(const Tensor& r, double low, double high) {
  const Tensor s = ((r - (low + high) / 2) / ((high - low) / 2)).abs().clamp_max(1);
  return torch::exp(1 - 1 / (1 - s.square()));
}

}  // namespace

Tensor duffing(const DuffingOptions& options) {
  check_at_least("trajectories", options.trajectories, 1);
  check_at_least("steps", options.steps, 1);
  check_at_least("substeps", options.substeps, 1);
  check_positive("dt", options.dt);
  check_non_negative("damping", options.damping);
  const auto field = [&](const Tensor& s) {
    const Tensor x = s.select(1, 0), y = s.select(1, 1);
    return columns({y, x - x.pow(3) - options.damping * y});
  };
  return integrate(duffing_start(options), options.steps, options.dt, options.substeps, field)
      .transpose(0, 1)
      .contiguous();
}

Tensor lorenz(const FlowOptions& options) {
  return attractor(options, "dynamics/lorenz", [](const State& s) -> State {
    const auto [x, y, z] = s;
    return {10 * (y - x), x * (28 - z) - y, x * y - 8.0 / 3 * z};
  });
}

Tensor rossler(const FlowOptions& options) {
  return attractor(options, "dynamics/rossler", [](const State& s) -> State {
    const auto [x, y, z] = s;
    return {-y - z, x + 0.1 * y, 0.1 + z * (x - 14)};
  });
}

Tensor cat_map(const CatMapOptions& options) {
  check_at_least("trajectories", options.trajectories, 1);
  check_at_least("steps", options.steps, 1);
  constexpr int64_t kModulus = int64_t{1} << 40;
  RandomStream random(options.seed, stream_id("dynamics/cat-map"));
  const int64_t N = options.trajectories;
  Tensor x = random.integers({N}, 0, kModulus), y = random.integers({N}, 0, kModulus);
  std::vector<Tensor> path;
  for (int64_t t = 0; t <= options.steps; ++t) {
    path.push_back(columns({x, y}));
    const Tensor next = torch::bitwise_and(2 * x + y, kModulus - 1);
    y = torch::bitwise_and(x + y, kModulus - 1);
    x = next;
  }
  const Tensor cat = torch::stack(path, 1).to(kF64) * (kTwoPi / static_cast<double>(kModulus));
  if (!options.rotation) return cat;
  const Tensor start = random.uniform({N, 1}, kF64, 0, kTwoPi);
  const Tensor angle = torch::remainder(
      start + torch::arange(options.steps + 1, kF64).unsqueeze(0) * std::numbers::sqrt2, kTwoPi);
  return torch::cat({angle.unsqueeze(2), cat}, 2);
}

Tensor cat_map_moments(int64_t count) {
  check_at_least("moments", count, 0);
  const Tensor a = torch::zeros({count + 1}, torch::kComplexDouble);
  const std::vector<c10::complex<double>> first = {{.65625, 0}, {.25, -.0625}, {0, -.125}};
  for (int64_t n = 0; n <= std::min<int64_t>(count, 2); ++n) a[n] = first[static_cast<size_t>(n)];
  return a;
}

Tensor cat_map_density(const Tensor& theta) {
  // (a_0 + 2 Re(a_1 e^{-i theta} + a_2 e^{-2 i theta})) / (2 pi)
  return (.65625 + 2 * (.25 * torch::cos(theta) - .0625 * torch::sin(theta) -
                        .125 * torch::sin(2 * theta))) /
         kTwoPi;
}

Tensor cat_map_observable(const Tensor& states) {
  const Tensor x = states.select(-1, 0), y = states.select(-1, 1);
  return torch::complex(torch::sin(x) + torch::sin(2 * x + y) / 2, torch::sin(5 * x + 3 * y) / 4);
}

TorusSkew torus_skew(const TorusSkewOptions& options) {
  check_at_least("trajectories", options.trajectories, 1);
  check_at_least("steps", options.steps, 1);
  check_at_least("harmonics", options.harmonics, 1);
  check_at_least("agree", options.agree, 0);
  check_positive("exponent", options.exponent);
  RandomStream random(options.seed, stream_id("dynamics/torus-skew"));
  std::vector<std::complex<double>> h;
  TorusSkew made;
  double sum = 0;
  for (int64_t q = 1; q <= options.harmonics; ++q) {
    const auto at = static_cast<double>(q);
    const double u = std::pow(at, q <= options.agree ? -1.0 : -options.exponent);
    h.push_back(u * (std::polar(1.0, at * options.alpha) - 1.0));
    made.energy.push_back(sum += 2 * u * u);
  }
  const int64_t N = options.trajectories;
  Tensor x = random.uniform({N}, kF64, 0, kTwoPi), y = random.uniform({N}, kF64, 0, kTwoPi);
  std::vector<Tensor> path;
  for (int64_t t = 0; t <= options.steps; ++t) {
    path.push_back(columns({x, y}));
    Tensor turn = torch::zeros_like(x);
    for (int64_t q = 1; q <= options.harmonics; ++q) {
      const auto c = h[static_cast<size_t>(q - 1)];
      const Tensor phase = x * static_cast<double>(q);
      turn += 2 * (c.real() * torch::cos(phase) - c.imag() * torch::sin(phase));
    }
    y = torch::remainder(y + turn, kTwoPi);
    x = torch::remainder(x + options.alpha, kTwoPi);
  }
  made.trajectories = torch::stack(path, 1);
  return made;
}

AdversarialPair disc_pair(const AdversarialOptions& options) {
  check_at_least("points", options.points, 2);
  check_at_least("inside", options.inside, 0);
  RandomStream random(options.seed, stream_id("dynamics/disc-pair"));
  const auto polar = [](const Tensor& r, const Tensor& t) {
    return columns({r * torch::cos(t), r * torch::sin(t)});
  };
  const Tensor r = random.uniform({options.points}, kF64).sqrt();
  AdversarialPair made;
  made.x = polar(r, random.uniform({options.points}, kF64, 0, kTwoPi));
  std::tie(made.low, made.high) = widest_gap(made.x.norm(2, 1));
  // Turning by pi is negation; by pi + phi the negative of the turn by phi, which is exactly no
  // turn where phi = 0.
  const auto twisted = [&](const Tensor& p) {
    const Tensor phi = bump(p.norm(2, 1), made.low, made.high);
    const Tensor c = torch::cos(phi), s = torch::sin(phi), x = p.select(1, 0), y = p.select(1, 1);
    return columns({-(c * x - s * y), -(s * x + c * y)});
  };
  made.y = -made.x;
  made.other = twisted(made.x);
  made.x_inside = polar(random.uniform({options.inside}, kF64, made.low, made.high),
                        random.uniform({options.inside}, kF64, 0, kTwoPi));
  made.y_inside = -made.x_inside;
  made.other_inside = twisted(made.x_inside);
  return made;
}

AdversarialPair interval_pair(const AdversarialOptions& options) {
  check_at_least("points", options.points, 2);
  check_at_least("inside", options.inside, 0);
  RandomStream random(options.seed, stream_id("dynamics/interval-pair"));
  AdversarialPair made;
  made.x = random.uniform({options.points, 1}, kF64);
  // Where x and x + 1/2 are both unsampled: a gap of x mod 1/2.
  const Tensor folded = torch::remainder(made.x, 0.5).flatten();
  std::tie(made.low, made.high) = widest_gap(folded);
  const double width = made.high - made.low;
  const auto shifted = [](const Tensor& x) { return torch::remainder(x + 0.5, 1); };
  const auto doubling = [&](const Tensor& x) {
    const Tensor y = shifted(x), base = torch::floor(2 * y) / 2, s = (y - base - made.low) / width;
    const Tensor inside = torch::logical_and(s > 0, s < 1);
    return torch::where(inside, base + made.low + width * torch::remainder(2 * s, 1), y);
  };
  made.y = shifted(made.x);
  made.other = doubling(made.x);
  const Tensor half = random.integers({options.inside, 1}, 0, 2).to(kF64) / 2;
  made.x_inside = half + random.uniform({options.inside, 1}, kF64, made.low, made.high);
  made.y_inside = shifted(made.x_inside);
  made.other_inside = doubling(made.x_inside);
  return made;
}

SeasonalField seasonal_field(const SeasonalFieldOptions& options) {
  const int64_t P = options.pixels, T = options.steps;
  check_at_least("pixels", P, 1);
  check_at_least("steps", T, 2);
  check_positive("season", options.season);
  check_non_negative("noise", options.noise);
  check_in("correlation", options.correlation, 0, 0.999);
  check_at_least("patterns", options.patterns, 1);
  RandomStream random(options.seed, stream_id("dynamics/seasonal-field"));
  // Smooth random fields over the circle of pixels: harmonics up to 6 with normal coefficients,
  // mean square 1.
  const Tensor place = torch::arange(P, kF64) * (kTwoPi / static_cast<double>(P));
  const Tensor order = torch::arange(1, 7, kF64);
  const Tensor waves = torch::cat(
      {torch::cos(order.unsqueeze(1) * place), torch::sin(order.unsqueeze(1) * place)});  // [12, P]
  const auto smooth = [&](int64_t count) {
    const Tensor fields = random.normal({count, 12}, kF64).mm(waves);
    return fields / fields.square().mean(1, true).sqrt();
  };
  SeasonalField made{.modulus = {.9985, .997, .995},
                     .period = {options.season, options.season / 2, options.season * 3.3}};
  const std::vector<double> size = {1, .5, .7};
  const Tensor time = torch::arange(T, kF64);
  made.clean = torch::zeros({T, P}, kF64);
  for (size_t k = 0; k < 3; ++k) {
    const Tensor decay = torch::pow(torch::tensor(made.modulus[k], kF64), time) * size[k];
    const Tensor phase = time * (kTwoPi / made.period[k]);
    made.clean += (decay * torch::cos(phase)).unsqueeze(1) * smooth(1) +
                  (decay * torch::sin(phase)).unsqueeze(1) * smooth(1);
  }
  const double scale = options.noise * made.clean.square().mean().sqrt().item<double>();
  const Tensor patterns =
      smooth(options.patterns) / std::sqrt(2.0 * static_cast<double>(options.patterns));
  const double rho = options.correlation, fresh = std::sqrt(1 - rho * rho);
  Tensor large = random.normal({options.patterns}, kF64), small = random.normal({P}, kF64);
  made.field = made.clean.clone();
  for (int64_t t = 0; t < T; ++t) {
    made.field[t] += scale * (large.matmul(patterns) + small / std::numbers::sqrt2);
    large = rho * large + fresh * random.normal({options.patterns}, kF64);
    small = rho * small + fresh * random.normal({P}, kF64);
  }
  return made;
}

}  // namespace ritz::studies
