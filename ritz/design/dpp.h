#pragma once
// Projection determinantal point processes: m points with density det[phi_j(x_i)]^2 / m! with
// respect to mu^m. Each alone has the Christoffel density (k / m) mu; together they repel.
//
//   const auto V = ritz::design::product_space({.family = "legendre", .dim = 2, .degree = 5});
//   ritz::Tensor x = ritz::design::sample_dpp(*V, {.seed = 7});          // [21, 2]
#include <cstdint>

#include "ritz/design/space.h"

namespace ritz::design {

enum class DppSampler {
  automatic,    // tridiagonal where there is one, else rejection
  rejection,    // chain rule, proposals from the Christoffel density
  tridiagonal,  // polynomials of degree < m in one variable; Unsupported elsewhere
  conditional,  // candidates only: chain rule, each conditional law over all N computed: 2 N m^2
};

struct DppOptions {
  DppSampler sampler = DppSampler::automatic;
  uint64_t seed = 0;
  uint64_t draw = 0;  // another sample
};

/// float64 [m, d]; candidates: int64 [m, 1]. The order of the points has no meaning. NotConverged
/// where 200 m proposals for one point were rejected (phi is not orthonormal).
Tensor sample_dpp(const Space& space, const DppOptions& options = {});

namespace detail {
/// The same into points [m, d], from a generator of random numbers. Returns how many proposals were
/// drawn (0: not by rejection).
int64_t draw_dpp(const Space& space, DppSampler sampler, Variates& variates, double* points);
}  // namespace detail

}  // namespace ritz::design
