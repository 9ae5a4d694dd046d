#include "ritz/design/design.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ritz/base/check.h"
#include "ritz/base/check_tensor.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/random.h"
#include "ritz/design/classical.h"
#include "ritz/design/detail/greedy.h"
#include "ritz/design/detail/variates.h"

namespace ritz::design {
namespace {

using detail::Variates;

struct Name {
  Method method;
  std::string_view name;
};
constexpr Name kNames[] = {{Method::iid, "iid"},
                           {Method::dpp, "dpp"},
                           {Method::volume, "volume"},
                           {Method::repeated_dpp, "repeated-dpp"},
                           {Method::monte_carlo, "monte-carlo"},
                           {Method::sobol, "sobol"},
                           {Method::latin_hypercube, "latin-hypercube"},
                           {Method::gauss, "gauss"},
                           {Method::chebyshev, "chebyshev"},
                           {Method::magic, "magic"},
                           {Method::maxvol, "maxvol"}};

// A random design: `blocks` DPPs, then `rest` points, each from h mu with probability `h_rest` and
// from nu_m otherwise; 1/w = (1 - h_weight) k / m + h_weight h.
struct Recipe {
  int64_t n = 0, blocks = 0, rest = 0;
  double h_rest = 0, h_weight = 0;
};

bool is_random(Method method) {
  return method == Method::iid || method == Method::dpp || method == Method::volume ||
         method == Method::repeated_dpp || method == Method::monte_carlo;
}
bool takes_mixture(Method method) {
  return method == Method::iid || method == Method::volume || method == Method::repeated_dpp;
}
bool is_interpolation(Method method) {
  return method == Method::dpp || method == Method::magic || method == Method::maxvol;
}
bool is_fixed(Method method) {  // draws nothing: another one is the same
  return method == Method::gauss || method == Method::chebyshev;
}

int64_t points_of(const DesignOptions& options, int64_t m) {
  const int64_t n =
      options.points > 0 ? options.points : (is_interpolation(options.method) ? m : 2 * m);
  if (n < m) {
    throw InvalidArgument("--points", "at least m = " + std::to_string(m), std::to_string(n));
  }
  if (is_interpolation(options.method) && n != m) {
    throw InvalidArgument(
        "--points", "m = " + std::to_string(m) + " for " + std::string(method_name(options.method)),
        std::to_string(n));
  }
  return n;
}

void check(const DesignOptions& options) {
  check_at_least("--points", options.points, 0);
  if (!(options.delta > 0 && options.delta < 1))
    throw InvalidArgument("--delta", "a number in (0, 1)", number_text(options.delta));
  check_at_least("--max-redraws", options.max_redraws, 0);
  check_at_least("--boost", options.boost, 1);
  check_at_least("--keep", options.keep, 0);
  check_at_least("candidates", options.candidates, 0);
  if (options.weights == Weights::mixture && !takes_mixture(options.method)) {
    throw InvalidArgument("--weights", "optimal for " + std::string(method_name(options.method)),
                          "a mixture");
  }
}

Recipe recipe_of(const DesignOptions& options, int64_t m, int64_t n) {
  const bool mixture = options.weights == Weights::mixture;
  Recipe r{.n = n};
  switch (options.method) {
    case Method::dpp:
    case Method::volume:
      r.blocks = 1;
      break;
    case Method::repeated_dpp:
      // Half of the points from h mu keep w h <= 2.
      r.blocks = mixture ? std::max<int64_t>(1, n / (2 * m)) : n / m;
      break;
    default:
      break;
  }
  r.rest = n - r.blocks * m;
  if (options.method == Method::monte_carlo) {
    r.h_rest = r.h_weight = 1;
  } else if (mixture && options.method == Method::repeated_dpp) {
    if (r.rest == 0) {
      throw InvalidArgument("--points", "more than m = " + std::to_string(m) + " for a mixture",
                            std::to_string(n));
    }
    r.h_rest = 1;
    r.h_weight = static_cast<double>(r.rest) / static_cast<double>(n);
  } else if (mixture) {
    r.h_rest = r.h_weight = 0.5;
  }
  return r;
}

// A point from h mu: proposals from mu stay with probability k_H(x, x) / sup.
void draw_kernel_point(const Space& space, const KernelDiagonal& kernel, Variates& variates,
                       double* point) {
  do {
    space.draw_measure(1, variates, point);
  } while (kernel.value && variates.uniform() * kernel.supremum >= kernel.value(point));
}

struct Draft {
  Tensor points;   // [n, d] float64
  Tensor rows;     // [n, m], sqrt(w) phi
  Tensor weights;  // [n]
  Tensor eigenvalues;
};

Tensor gram_spectrum(const Tensor& rows) {
  return torch::linalg_eigvalsh(rows.t().mm(rows) / static_cast<double>(rows.size(0)));
}

class Maker {
 public:
  Maker(const Space& space, const DesignOptions& options)
      : space_(space),
        options_(options),
        product_(dynamic_cast<const ProductSpace*>(&space)),
        candidates_(dynamic_cast<const CandidateSpace*>(&space)),
        n_(points_of(options, space.size())),
        recipe_(recipe_of(options, space.size(), n_)) {}

  const Recipe& recipe() const { return recipe_; }

  Draft make(uint64_t attempt) const {
    const uint64_t key = stream_id("design/draw", options_.draw) + attempt;
    Draft draft;
    if (is_random(options_.method)) {
      draft.points = random_points(key);
    } else {
      fixed_points(key, draft);
    }
    const Tensor phi = rows_at(draft.points);
    if (!draft.weights.defined()) draft.weights = weights_at(draft.points, phi);
    draft.rows = phi * draft.weights.sqrt().unsqueeze(1);
    draft.eigenvalues = gram_spectrum(draft.rows);
    return draft;
  }

 private:
  Tensor random_points(uint64_t key) const {
    Variates variates(options_.seed, stream_id("design/points", key));
    const int64_t d = space_.dim(), m = space_.size();
    Tensor points = torch::empty({n_, d}, torch::kFloat64);
    auto* at = points.data_ptr<double>();
    for (int64_t b = 0; b < recipe_.blocks; ++b, at += m * d)
      detail::draw_dpp(space_, options_.sampler, variates, at);
    if (recipe_.h_rest == 0) {
      space_.draw_christoffel(recipe_.rest, variates, at, nullptr);
    } else {
      for (int64_t i = 0; i < recipe_.rest; ++i, at += d) {
        if (recipe_.h_rest == 1 || variates.uniform() < recipe_.h_rest) {
          draw_kernel_point(space_, options_.kernel, variates, at);
        } else {
          space_.draw_christoffel(1, variates, at, nullptr);
        }
      }
    }
    if (recipe_.blocks > 0 && recipe_.rest + recipe_.blocks > 1)
      variates.shuffle_rows(points.data_ptr<double>(), n_, d);
    return points;
  }

  const ProductSpace& product() const {
    if (product_ == nullptr) {
      throw Unsupported("--method " + std::string(method_name(options_.method)) +
                        ": not for candidates");
    }
    return *product_;
  }

  void fixed_points(uint64_t key, Draft& draft) const {
    switch (options_.method) {
      case Method::gauss:
      case Method::chebyshev: {
        auto made = options_.method == Method::gauss ? gauss_points(product(), n_)
                                                     : chebyshev_points(product(), n_);
        draft.points = made.points;
        draft.weights = made.weights;
        break;
      }
      case Method::sobol:
      case Method::latin_hypercube:
        draft.points = options_.method == Method::sobol
                           ? sobol_points(product(), n_, options_.seed, key)
                           : latin_hypercube_points(product(), n_, options_.seed, key);
        draft.weights = torch::ones({n_}, torch::kFloat64);
        break;
      default: {
        Tensor points, phi;
        if (candidates_ != nullptr) {
          points = torch::arange(candidates_->candidates(), torch::kFloat64).unsqueeze(1);
          phi = candidates_->phi();
        } else {
          const int64_t m = space_.size();
          const int64_t pool = options_.pool > 0 ? options_.pool : std::max<int64_t>(1000, 20 * m);
          check_at_least("pool", pool, m);
          Variates variates(options_.seed, stream_id("design/pool", key));
          points = torch::empty({pool, space_.dim()}, torch::kFloat64);
          space_.draw_christoffel(pool, variates, points.data_ptr<double>(), nullptr);
          phi = rows_at(points);
        }
        const Tensor rows = options_.method == Method::magic ? magic_rows(phi) : maxvol_rows(phi);
        draft.points = points.index_select(0, rows);
      }
    }
  }

  // One thread, as designs are drawn side by side.
  Tensor rows_at(const Tensor& points) const {
    const Tensor x = points.contiguous();
    Tensor phi = torch::empty({x.size(0), space_.size()}, torch::kFloat64);
    space_.evaluate(x.size(0), x.data_ptr<double>(), phi.data_ptr<double>());
    return phi;
  }

  Tensor weights_at(const Tensor& points, const Tensor& phi) const {
    if (options_.method == Method::monte_carlo) return torch::ones({n_}, torch::kFloat64);
    Tensor reciprocal = phi.square().sum(1) / static_cast<double>(space_.size());
    if (recipe_.h_weight > 0) {
      Tensor h = torch::empty({n_}, torch::kFloat64);
      const auto* x = points.data_ptr<double>();
      for (int64_t i = 0; i < n_; ++i)
        h.data_ptr<double>()[i] = options_.kernel.h(x + i * space_.dim());
      reciprocal = (1 - recipe_.h_weight) * reciprocal + recipe_.h_weight * h;
    }
    const Tensor weights = 1 / reciprocal;
    if (!(weights.isfinite().all().item<bool>() && weights.min().item<double>() > 0)) {
      throw Unsupported("design: a weight leaves the range of numbers; take a lower degree");
    }
    return weights;
  }

  const Space& space_;
  const DesignOptions& options_;
  const ProductSpace* product_;
  const CandidateSpace* candidates_;
  int64_t n_;
  Recipe recipe_;
};

std::string quantiles_text(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double q) {
    return number_text(
        std::round(1000 * values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))]) /
        1000);
  };
  return at(0) + ", " + at(0.1) + ", " + at(0.5) + " (least, 10 %, median)";
}

}  // namespace

Method parse_method(std::string_view text) {
  std::string all;
  for (const auto& [method, name] : kNames) {
    if (name == text) return method;
    all += (all.empty() ? "" : ", ") + std::string(name);
  }
  throw InvalidArgument("--method", all, text);
}

std::string_view method_name(Method method) {
  return std::find_if(std::begin(kNames), std::end(kNames),
                      [&](const Name& entry) { return entry.method == method; })
      ->name;
}

Event parse_event(std::string_view text) {
  if (text == "none") return Event::none;
  if (text == "two-sided") return Event::two_sided;
  if (text == "one-sided") return Event::one_sided;
  throw InvalidArgument("--event", "none, two-sided or one-sided", text);
}

double Design::gram_min() const {
  return eigenvalues[0].item<double>();
}
double Design::gram_max() const {
  return eigenvalues[-1].item<double>();
}

double deviation(Event event, const Tensor& eigenvalues) {
  const double low = 1 - eigenvalues[0].item<double>();
  return event == Event::one_sided ? low : std::max(low, eigenvalues[-1].item<double>() - 1);
}

Tensor gram_eigenvalues(const Space& space, const Tensor& points, const Tensor& weights) {
  check_shape("weights", weights, {points.size(0)});
  const Tensor phi = space.basis(points).to(torch::kCPU, torch::kFloat64);
  return gram_spectrum(phi * weights.to(torch::kCPU, torch::kFloat64).sqrt().unsqueeze(1));
}

Design design(const Space& space, const DesignOptions& options) {
  const at::NoGradGuard no_grad;
  check(options);
  const Maker maker(space, options);
  const int64_t m = space.size();
  const auto boost = static_cast<uint64_t>(is_fixed(options.method) ? 1 : options.boost);
  const uint64_t most = is_fixed(options.method) ? 0 : static_cast<uint64_t>(options.max_redraws);
  Draft best;
  Design out;
  std::vector<double> misses;
  for (uint64_t attempt = 0;; ++attempt) {
    double least = std::numeric_limits<double>::infinity();
    for (uint64_t s = 0; s < boost; ++s) {
      check_interrupt("design");
      Draft draft = maker.make(attempt * boost + s);
      const double miss = deviation(options.event, draft.eigenvalues);
      if (miss < least || s == 0) {
        least = miss;
        best = std::move(draft);
      }
    }
    out.holds = least <= options.delta;
    if (out.holds || options.event == Event::none) break;
    misses.push_back(deviation(Event::two_sided, best.eigenvalues));
    if (attempt == most) {
      throw NotConverged("design: " + std::to_string(misses.size()) +
                         " designs in a row missed the event; ||G - I|| was " +
                         quantiles_text(misses) +
                         ": take more points, a larger delta or another method");
    }
    ++out.redraws;
  }
  if (options.greedy && out.holds) {
    const int64_t n = best.points.size(0);
    const int64_t keep = options.keep > 0 ? options.keep : m + 1;
    if (keep < m || keep > n) {
      throw InvalidArgument("--keep", std::to_string(m) + " to " + std::to_string(n) + " points",
                            std::to_string(keep));
    }
    const auto kept =
        detail::remove_greedily(best.rows, options.event, options.delta, keep, options.candidates);
    const Tensor at = torch::tensor(kept, torch::kInt64);
    out.removed = n - static_cast<int64_t>(kept.size());
    best.points = best.points.index_select(0, at);
    best.weights = best.weights.index_select(0, at);
    best.eigenvalues = gram_spectrum(best.rows.index_select(0, at));
  }
  const auto tensor = options.tensor.dtype(
      options.tensor.has_dtype() ? options.tensor.dtype().toScalarType() : at::kDouble);
  out.points = dynamic_cast<const CandidateSpace*>(&space) != nullptr
                   ? best.points.to(tensor.dtype(torch::kInt64))
                   : best.points.to(tensor);
  out.weights = best.weights.to(tensor);
  out.eigenvalues = best.eigenvalues;
  out.mixture = maker.recipe().h_weight;
  return out;
}

double expected_error_bound(int64_t m, int64_t n, double delta, double probability, int64_t boost) {
  const double ratio = static_cast<double>(boost * m) / static_cast<double>(n);
  return 1 + ratio / ((1 - delta) * (1 - delta) * probability);
}

double stable_error_bound(double delta, double probability, double factor) {
  return 1 + factor / ((1 - delta) * probability);
}

double uniform_error_bound(double delta, double share) {
  return 1 + 1 / std::sqrt((1 - delta) * share);
}

}  // namespace ritz::design
