#pragma once
// How many points a stable fit needs, found without evaluating anything.
#include <vector>

#include "ritz/design/design.h"

namespace ritz::design {

/// Matrix Chernoff: (1 + delta) ln(1 + delta) - delta for the two-sided event, delta + (1 - delta)
/// ln(1 - delta) for the one-sided one.
double chernoff_constant(Event event, double delta);
/// The least n with P(S) >= 1 - eta by theory for iid points from nu_m: (m / c) ln(2 m / eta),
/// one-sided ln(m / eta); best of M = `boost` draws: eta^{1/M}. `coherence` = sup w k >= m (2 m for
/// mixtures) in m's place.
int64_t theoretical_points(Event event, double delta, double eta, int64_t m, int64_t boost = 1,
                           double coherence = 0);

/// K independent designs and how stable they are.
struct Pilot {
  std::vector<double> gram_min, gram_max;  // [K]
  int64_t redraws = 0;                     // of all
  double probability = 0;       // share of all drawn designs in the event (none: two-sided)
  std::vector<Design> designs;  // [K]
};
/// Draws 0 ... K - 1 of `options` in parallel; the same for any number of threads.
Pilot pilot(const Space& space, const DesignOptions& options, int64_t draws);

struct PlanOptions {
  Event event = Event::two_sided;
  double delta = 0.9;
  double eta = 0.1;  // P(S) >= 1 - eta is wanted
  Method method = Method::repeated_dpp;
  int64_t draws = 200;  // of each pilot
  uint64_t seed = 0;
};
struct Plan {
  int64_t m = 0;
  int64_t n_iid = 0;          // theory, for iid points
  int64_t n_recommended = 0;  // the least multiple of m, from 2 m on, whose pilot reaches 1 - eta
  double probability = 0;     // P(S) at n_recommended as the pilot has it
  double standard_error = 0;  // of it
  struct Tried {
    int64_t n;
    double probability;
  };
  std::vector<Tried> tried;
};
/// NotConverged where no multiple up to n_iid (at most 64 m) suffices.
Plan plan(const Space& space, const PlanOptions& options = {});

}  // namespace ritz::design
