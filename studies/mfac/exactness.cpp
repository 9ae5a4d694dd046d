// (c): M-FAC's inverse is the inverse, and costs what it should.
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <limits>

#include "ritz/base/random.h"
#include "ritz/base/threads.h"
#include "ritz/optim/inverse_fisher.h"
#include "studies/batch_scaling/fleet.h"
#include "studies/generators/gradient_rows.h"
#include "studies/mfac/parts.h"

namespace ritz::studies::mfac {
namespace {

/// Processor seconds of this process: what other programs take does not count.
double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// The fastest of `rounds` runs.
template <class F>
double fastest(int rounds, const F& run) {
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round < rounds; ++round) {
    const double start = processor_seconds();
    run();
    best = std::min(best, processor_seconds() - start);
  }
  return best;
}

double build_seconds(int64_t m, int64_t d, uint64_t seed) {
  const Tensor G = RandomStream(seed, stream_id("study/mfac/cost"))
                       .normal({m, d}, at::TensorOptions(at::kFloat));
  Tensor copy = at::empty_like(G);
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round < 5; ++round) {
    copy.copy_(G);
    best = std::min(best, fastest(1, [&] {
                      optim::InverseFisher(copy, {.damping = 1e-2, .overwrite = true});
                    }));
  }
  return best;
}

}  // namespace

void exactness(const StudyContext& context, StudyResult& result) {
  const bool quick = context.scale == Scale::quick;

  const auto made = gradient_rows({.rows = 128,
                                   .columns = quick ? 600 : 2000,
                                   .seed = context.seed,
                                   .tensor = torch::kFloat64});
  const double lambda = 1e-5;
  const int64_t d = made.rows.size(1);
  const Tensor F = made.rows.t().mm(made.rows) / 128 + lambda * at::eye(d, at::kDouble);
  const Tensor dense = at::inverse(F);
  const optim::InverseFisher inverse(made.rows, {.damping = lambda});
  const double error =
      ((inverse.apply(at::eye(d, at::kDouble)) - dense).norm() / dense.norm()).item<double>();
  result.claims.push_back({.id = "C-exact",
                           .claim = "M-FAC is no approximation of the damped inverse Fisher matrix",
                           .baseline = "the dense inverse in float64 of 2000 parameters and 128 "
                                       "gradients, eigenvalues 1/k, lambda 1e-5",
                           .criterion = "relative error < 1e-10",
                           .measured = {{"relative error", error}},
                           .holds = error < 1e-10});

  // One thread: the slopes are of work, not of how threads share it.
  const int before = threads();
  set_threads(1);
  const auto slope = [&](const char* id, const char* claim, const char* criterion,
                         const std::vector<int64_t>& ms, const std::vector<int64_t>& ds, double low,
                         double high, const char* name) {
    std::vector<double> x, y, guide;
    for (const int64_t m : ms) {
      for (const int64_t columns : ds) {
        context.progress("cost of the inverse", m, ms.back());
        x.push_back(static_cast<double>(ms.size() > 1 ? m : columns));
        y.push_back(build_seconds(m, columns, context.seed));
      }
    }
    const double found = log_slope(x, y);
    result.claims.push_back({.id = id,
                             .claim = claim,
                             .baseline = "processor time of one thread, float32, fastest of 5",
                             .criterion = criterion,
                             .measured = {{"slope", found}},
                             .holds = found >= low && found <= high});
    const char* label = ms.size() > 1 ? "gradients m" : "parameters d";
    result.series.push_back({.name = name, .columns = {{label, x}, {"seconds", y}}});
    for (const double each : x)
      guide.push_back(y[0] * std::pow(each / x[0], ms.size() > 1 ? 2 : 1));
    result.figures.push_back(
        {.name = name,
         .caption = "Time to build the inverse.",
         .figure = {
             .title = "Cost of the static inverse",
             .x = {.label = label, .log = true},
             .y = {.label = "seconds", .log = true},
             .curves = {{.label = "measured", .x = x, .y = y, .style = io::Style::line_points},
                        {.label = ms.size() > 1 ? "m^2" : "d",
                         .x = x,
                         .y = guide,
                         .style = io::Style::guide}},
             .marks = {},
             .legend_left = true}});
  };
  slope("C-slope-d", "The inverse costs O(d m^2): linear in d",
        "slope of log time on log d in [0.85, 1.15], m = 128", {128},
        quick ? std::vector<int64_t>{20000, 40000, 80000}
              : std::vector<int64_t>{50000, 100000, 200000, 400000},
        0.85, 1.15, "cost_d");
  slope("C-slope-m", "The inverse costs O(d m^2): quadratic in m",
        "slope of log time on log m in [1.5, 2.2]",
        quick ? std::vector<int64_t>{64, 128, 256} : std::vector<int64_t>{64, 128, 256, 512},
        {quick ? 20000 : 50000}, 1.5, 2.2, "cost_m");

  std::vector<double> sizes, seconds;
  for (const int64_t columns :
       quick ? std::vector<int64_t>{10000, 100000} : std::vector<int64_t>{10000, 100000, 1000000}) {
    Tensor G = RandomStream(context.seed, stream_id("study/mfac/element"))
                   .normal({64, columns}, at::TensorOptions(at::kFloat));
    const optim::InverseFisher stored(G, {.damping = 1e-2, .overwrite = true});
    RandomStream random(context.seed, stream_id("study/mfac/places"));
    std::vector<Tensor> j, k;
    for (int n = 0; n < 200; ++n) {
      j.push_back(random.integers({1}, 0, columns));
      k.push_back(random.integers({1}, 0, columns));
    }
    sizes.push_back(static_cast<double>(columns));
    seconds.push_back(fastest(5,
                              [&] {
                                for (size_t n = 0; n < j.size(); ++n) stored.elements(j[n], k[n]);
                              }) /
                      static_cast<double>(j.size()));
  }
  set_threads(before);
  const auto [least, most] = std::minmax_element(seconds.begin(), seconds.end());
  result.claims.push_back(
      {.id = "C-element",
       .claim = "One element of the inverse costs O(m), whatever the number of parameters",
       .baseline = "single queries, m = 64, processor time of one thread, fastest of 5",
       .criterion = "time grows at most 2-fold while d grows 100-fold",
       .measured = {{"microseconds at the smallest d", 1e6 * seconds.front()},
                    {"microseconds at the largest d", 1e6 * seconds.back()},
                    {"largest over smallest", *most / *least}},
       .holds = *most <= 2 * *least});
  result.series.push_back({.name = "element", .columns = {{"d", sizes}, {"seconds", seconds}}});
}

}  // namespace ritz::studies::mfac
