#include "ritz/krylov/density.h"

#include <torch/types.h>

#include <numeric>

#include "ritz/base/check.h"
#include "ritz/base/random.h"

namespace ritz {
namespace {

// All nodes with weights over all probes summing to 1.
struct Pool {
  std::vector<double> nodes;
  std::vector<double> weights;
  std::vector<size_t> probe;
  int64_t steps = 0;  // the longest probe's
};

Pool pool(const SpectralQuadrature& q) {
  (void)q.largest();  // checks that there are probes and nodes
  Pool out;
  const auto probes = static_cast<double>(q.probes.size());
  for (size_t l = 0; l < q.probes.size(); ++l) {
    const auto& probe = q.probes[l];
    out.steps = std::max(out.steps, static_cast<int64_t>(probe.nodes.size()));
    for (size_t k = 0; k < probe.nodes.size(); ++k) {
      out.nodes.push_back(probe.nodes[k]);
      out.weights.push_back(probe.weights[k] / probes);
      out.probe.push_back(l);
    }
  }
  return out;
}

std::vector<size_t> ascending(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return values[a] < values[b]; });
  return order;
}

Tensor as_tensor(const std::vector<double>& values) {
  return torch::tensor(values, torch::kFloat64);
}

std::vector<double> as_vector(const Tensor& values) {
  const auto host = values.contiguous();
  const double* data = host.const_data_ptr<double>();
  return {data, data + host.numel()};
}

void check(const DensityOptions& options) {
  check_at_least("points", options.points, 2);
  check_non_negative("margin", options.margin);
  if (options.kappa != 0 && !(options.kappa > 1 && std::isfinite(options.kappa))) {
    throw InvalidArgument("kappa", "a number > 1, or 0 for the default",
                          number_text(options.kappa));
  }
  if (options.sd) check_positive("sd", *options.sd);
  if (options.rel_sd) check_positive("rel_sd", *options.rel_sd);
  if (options.sd && options.rel_sd) throw InvalidArgument("sd", "one of sd and rel_sd", "both");
  check_positive("log_offset", options.log_offset);
}

// The kernel's deviation before the grid has its say.
double deviation(const DensityOptions& options, double range, int64_t steps) {
  if (options.sd) return *options.sd;
  if (options.rel_sd) return *options.rel_sd * range;
  const double kappa = options.kappa > 0 ? options.kappa : options.log_scale ? 1.04 : 3;
  const auto m = static_cast<double>(std::max<int64_t>(steps, 2));
  return range / 2 * 2 / ((m - 1) * std::sqrt(8 * std::log(kappa)));
}

}  // namespace

SpectralDensity spectral_density(const SpectralQuadrature& q, const DensityOptions& options) {
  check(options);
  auto all = pool(q);
  if (options.log_scale) {
    for (double& node : all.nodes) node = std::log(std::abs(node) + options.log_offset);
  }
  const auto [low, high] = std::minmax_element(all.nodes.begin(), all.nodes.end());
  // A spectrum of one point is drawn over a range of its own size.
  const double width = *high - *low;
  const double magnitude = std::max({std::abs(*low), std::abs(*high), 1e-300});
  const double range = width > 1e-12 * magnitude ? width : std::max(magnitude, 1e-12);
  const double begin = (*low + *high) / 2 - range / 2 - options.margin * range;
  const double step = (1 + 2 * options.margin) * range / static_cast<double>(options.points - 1);

  SpectralDensity out;
  // Between grid points no narrower kernel could be seen.
  out.sd = std::max(deviation(options, range, all.steps), step / 2);
  const auto t = begin + step * torch::arange(options.points, torch::kFloat64);
  const auto nodes = as_tensor(all.nodes);
  const auto kernel =
      ((t.unsqueeze(1) - nodes) / out.sd).square_().mul_(-0.5).exp_();  // [points, nodes]
  auto trapezoid = torch::full({options.points}, step, torch::kFloat64);
  trapezoid[0] *= 0.5;
  trapezoid[-1] *= 0.5;
  out.t = as_vector(t);
  out.density = as_vector(kernel.mv(as_tensor(all.weights) / kernel.t().mv(trapezoid)));
  return out;
}

double CumulativeSpectrum::at(double x) const {
  const auto next = std::upper_bound(t.begin(), t.end(), x);
  return next == t.begin() ? 0 : value[static_cast<size_t>(next - t.begin()) - 1];
}

CumulativeSpectrum cumulative_spectrum(const SpectralQuadrature& q,
                                       const CumulativeOptions& options) {
  check_at_least("resamples", options.resamples, 2);
  check_in("level", options.level, 0, 1);
  const auto all = pool(q);
  const auto order = ascending(all.nodes);
  const auto probes = static_cast<int64_t>(q.probes.size());

  // jumps[i, l]: what node i adds to the cumulative form of probe l.
  const auto n = static_cast<int64_t>(order.size());
  auto jumps = torch::zeros({n, probes}, torch::kFloat64);
  auto jump = jumps.accessor<double, 2>();
  CumulativeSpectrum out;
  for (int64_t i = 0; i < n; ++i) {
    const size_t node = order[static_cast<size_t>(i)];
    out.t.push_back(all.nodes[node]);
    jump[i][static_cast<int64_t>(all.probe[node])] =
        all.weights[node] * static_cast<double>(probes);
  }
  const auto per_probe = jumps.cumsum(0);
  const auto mean = per_probe.mean(1);
  out.value = as_vector(mean);
  out.value.back() = 1;
  if (probes == 1) return out;

  RandomStream random(options.seed, stream_id("cumulative/bootstrap"));
  std::vector<double> distance;
  for (int64_t b = 0; b < options.resamples; ++b) {
    const auto drawn = random.integers({probes}, 0, probes);
    const auto counts = torch::bincount(drawn, {}, probes).to(torch::kFloat64);
    const auto again = per_probe.mv(counts / static_cast<double>(probes));
    distance.push_back((again - mean).abs().max().item<double>());
  }
  std::sort(distance.begin(), distance.end());
  const auto last = static_cast<double>(options.resamples - 1);
  out.band = distance[static_cast<size_t>(std::ceil(options.level * last))];
  return out;
}

double kolmogorov_distance(const CumulativeSpectrum& a, const CumulativeSpectrum& b) {
  double distance = 0;
  for (const auto* spectrum : {&a, &b}) {
    for (const double t : spectrum->t) {
      distance = std::max(distance, std::abs(a.at(t) - b.at(t)));
    }
  }
  return distance;
}

SpectralStems spectral_stems(const SpectralQuadrature& q) {
  const auto all = pool(q);
  SpectralStems out;
  for (const size_t node : ascending(all.nodes)) {
    out.theta.push_back(all.nodes[node]);
    out.weight.push_back(all.weights[node]);
  }
  return out;
}

}  // namespace ritz
