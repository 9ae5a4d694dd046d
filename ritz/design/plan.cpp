#include "ritz/design/plan.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check.h"
#include "ritz/base/parallel.h"

namespace ritz::design {

double chernoff_constant(Event event, double delta) {
  if (event == Event::one_sided) return delta + (1 - delta) * std::log1p(-delta);
  return (1 + delta) * std::log1p(delta) - delta;
}

int64_t theoretical_points(Event event, double delta, double eta, int64_t m, int64_t boost,
                           double coherence) {
  if (!(delta > 0 && delta < 1))
    throw InvalidArgument("--delta", "a number in (0, 1)", number_text(delta));
  if (!(eta > 0 && eta < 1)) throw InvalidArgument("--eta", "a number in (0, 1)", number_text(eta));
  check_at_least("boost", boost, 1);
  const auto size = static_cast<double>(m);
  const double sides = event == Event::one_sided ? 1 : 2;
  const double miss = std::pow(eta, 1 / static_cast<double>(boost));
  const double n = (coherence > 0 ? coherence : size) / chernoff_constant(event, delta) *
                   std::log(sides * size / miss);
  return std::max(m, static_cast<int64_t>(std::ceil(n)));
}

Pilot pilot(const Space& space, const DesignOptions& options, int64_t draws) {
  check_at_least("--draws", draws, 1);
  Pilot out;
  out.designs.resize(static_cast<size_t>(draws));
  parallel_for(0, draws, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      DesignOptions one = options;
      one.draw = options.draw + static_cast<uint64_t>(k);
      out.designs[static_cast<size_t>(k)] = design(space, one);
    }
  });
  int64_t held = 0;
  for (const auto& made : out.designs) {
    out.gram_min.push_back(made.gram_min());
    out.gram_max.push_back(made.gram_max());
    out.redraws += made.redraws;
    held += made.holds ? 1 : 0;
  }
  out.probability = static_cast<double>(held) / static_cast<double>(draws + out.redraws);
  return out;
}

Plan plan(const Space& space, const PlanOptions& options) {
  Plan out;
  const int64_t m = out.m = space.size();
  const Event event = options.event == Event::none ? Event::two_sided : options.event;
  out.n_iid = theoretical_points(event, options.delta, options.eta, m);
  const int64_t most = std::min(64 * m, std::max(2 * m, out.n_iid + m - 1));
  for (int64_t n = 2 * m; n <= most; n += m) {
    // A pilot counts how often the event holds, so it must not condition on it.
    auto designs = pilot(space,
                         {.method = options.method,
                          .points = n,
                          .event = Event::none,
                          .delta = options.delta,
                          .seed = options.seed},
                         options.draws);
    int64_t held = 0;
    for (const auto& made : designs.designs)
      held += deviation(event, made.eigenvalues) <= options.delta ? 1 : 0;
    out.probability = static_cast<double>(held) / static_cast<double>(options.draws);
    out.tried.push_back({n, out.probability});
    if (out.probability >= 1 - options.eta) {
      out.n_recommended = n;
      out.standard_error =
          std::sqrt(out.probability * (1 - out.probability) / static_cast<double>(options.draws));
      return out;
    }
  }
  throw NotConverged("plan: P(S) was " + number_text(out.probability) +
                     " at n = " + std::to_string(out.tried.back().n) +
                     ", less than 1 - eta = " + number_text(1 - options.eta));
}

}  // namespace ritz::design
