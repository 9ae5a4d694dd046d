#pragma once
// Where to evaluate an expensive function so that weighted least squares in a space V of dimension
// m is stable and close to the best approximation, with few evaluations.
//
// Nouy & Michel, "Weighted least-squares approximation with determinantal point processes and
// generalized volume sampling" (arXiv 2312.14057); Cohen & Migliorati 2017; Haberstich, Nouy &
// Perrin 2019.
//
// Points x_1 ... x_n and weights w give the Gram matrix G = (1/n) sum_i w_i phi(x_i) phi(x_i)^T,
// whose expectation is I. The fit is stable on the event
//
//   S:  ||G - I||_2 <= delta  (two-sided),      S': lambda_min(G) >= 1 - delta  (one-sided).
//
// Methods, with nu_m = (k / m) mu and k(x) = ||phi(x)||^2:
//
//   iid           n independent points from nu_m, w = m / k (Cohen & Migliorati)
//   dpp           one projection DPP, n = m
//   volume        one DPP and n - m points of iid, in random order: its density is proportional to
//                 det G, by Cauchy-Binet (derived); the fit is unbiased, E[G^-1] = n / (n - m + 1)
//                 I
//   repeated_dpp  floor(n / m) independent DPPs, the remainder as iid; n = 2 m to 4 m is enough in
//                 one or two variables
//   monte_carlo   n independent points from mu, w = 1
//
// and sobol, latin_hypercube, gauss, chebyshev, magic, maxvol of classical.h.
//
//     #include <torch/types.h>
//     #include "ritz/design/least_squares.h"
//     int main() {
//       using namespace ritz::design;
//       const auto V = product_space({.family = "legendre", .dim = 2, .degree = 5});  // m = 21
//       const auto f = [](const torch::Tensor& x) { return (x.select(1, 0) * x.select(1, 1)).exp(); };
//       const auto made = approximate(*V, f, {.points = 63, .event = Event::two_sided});
//       return made.fit.loo_error.value() < 0.05 ? 0 : 1;
//     }
#include <optional>
#include <string_view>

#include "ritz/design/dpp.h"
#include "ritz/design/kernel.h"
#include "ritz/design/space.h"

namespace ritz::design {

enum class Method {
  iid,
  dpp,
  volume,
  repeated_dpp,
  monte_carlo,
  sobol,
  latin_hypercube,
  gauss,
  chebyshev,
  magic,
  maxvol,
};
/// "repeated-dpp" and so on.
Method parse_method(std::string_view text);
std::string_view method_name(Method method);

/// optimal: 1/w = k / m. mixture: 1/w = (k / m + h) / 2 with half of the points from h mu;
/// repeated_dpp: 1/w = (r k + s h) / n with r DPPs and s >= n / 2 points from h mu (reconstructed).
enum class Weights { optimal, mixture };

enum class Event { none, two_sided, one_sided };
Event parse_event(std::string_view text);

struct DesignOptions {
  Method method = Method::repeated_dpp;
  int64_t points = 0;  // n >= m; 0: 2 m, where the method needs no other
  Weights weights = Weights::optimal;
  KernelDiagonal kernel = {};  // mixture: h; the default is that of the sup norm
  Event event = Event::none;   // none: nothing is drawn again
  double delta = 0.9;          // in (0, 1)
  int64_t max_redraws = 1000;
  int64_t boost = 1;    // keep the best of so many draws (least ||G - I||, or largest lambda_min)
  bool greedy = false;  // then remove points while the event holds (none: two-sided)
  int64_t keep = 0;     // greedy: down to so many; 0: m + 1
  int64_t candidates = 5;  // greedy: rows tried for each removal; 0: all
  DppSampler sampler = DppSampler::automatic;
  int64_t pool =
      0;  // magic, maxvol on continuous spaces: points to choose from; 0: max(1000, 20 m)
  uint64_t seed = 0;
  uint64_t draw = 0;          // another design
  TensorOptions tensor = {};  // of points and weights; float64 unless it says float32
};

struct Design {
  Tensor points;        // [n, d]; candidates: int64 [n, 1], row numbers
  Tensor weights;       // [n]
  Tensor eigenvalues;   // float64 [m], ascending, of G
  int64_t redraws = 0;  // designs that missed the event and were discarded
  int64_t removed = 0;  // points, by greedy
  bool holds = false;   // the event (none: two-sided) at delta
  double mixture = 0;   // the share of h mu in 1/w

  int64_t size() const { return weights.size(0); }
  double gram_min() const;
  double gram_max() const;
};

/// Throws InvalidArgument where n does not suit the method, NotConverged where max_redraws designs
/// were discarded and one more missed the event (the message has quantiles of ||G - I||). Points
/// are chosen without any value of the function. A design that was conditioned, boosted or thinned
/// is no longer exactly unbiased.
Design design(const Space& space, const DesignOptions& options = {});

/// Eigenvalues of G [m] for any points and weights.
Tensor gram_eigenvalues(const Space& space, const Tensor& points, const Tensor& weights);
/// How far G is from the event's ideal: ||G - I||_2, or 1 - lambda_min(G).
double deviation(Event event, const Tensor& eigenvalues);

/// T1 (derived): E(||f - f^||^2 | S) <= (1 + M (m / n) (1 - delta)^-2 / P(S)) e^2, e the best
/// error, for points of iid, DPPs or volume sampling with w = m / k; the best of M = `boost` draws.
double expected_error_bound(int64_t m, int64_t n, double delta, double probability,
                            int64_t boost = 1);
/// T1' (derived): 1 + M (n_0 / n) / ((1 - delta) P(S)), also where n of n_0 points were kept by
/// greedy: `factor` = M n_0 / n.
double stable_error_bound(double delta, double probability, double factor = 1);
/// T2, T3 (derived): on S, ||f - f^|| <= (1 + ((1 - delta) share)^{-1/2}) inf_v ||f - v|| in the
/// sup norm, `share` = Design::mixture (1/2 for iid and volume); in H's norm times sqrt(int k_H
/// dmu).
double uniform_error_bound(double delta, double share);

}  // namespace ritz::design
