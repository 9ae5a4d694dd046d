// Approximating a function that is dear to evaluate: how many points, which, and how good the fit
// is.
//
//     cmake --build build/release --target example_expensive_function
//     build/release/examples/expensive_function
//
// Your simulation takes the place of `simulate` below; it is called once, with all points.
#include <torch/types.h>

#include <cmath>
#include <iostream>

#include "ritz/design/least_squares.h"
#include "ritz/design/plan.h"

using torch::Tensor;
namespace design = ritz::design;

int main() {
  // 1. The space: polynomials of total degree 6 in two parameters, each uniform on [-1, 1].
  const auto V = design::product_space({.family = "legendre", .dim = 2, .degree = 6});

  // 2. How many evaluations? Trial designs tell, before anything is evaluated.
  const auto plan = design::plan(*V, {.delta = 0.9, .eta = 0.1});
  std::cout << plan.m << " coefficients: " << plan.n_recommended << " points of repeated DPPs ("
            << plan.n_iid << " independent ones by theory)\n";

  // 3. The simulation: [n, 2] -> [n].
  const design::Function simulate = [](const Tensor& x) {
    return 1 / (2 + x.select(1, 0) + 0.5 * x.select(1, 1).square());
  };

  // 4. Points, evaluation and fit.
  const auto made = design::approximate(
      *V, simulate, {.points = plan.n_recommended, .event = design::Event::two_sided});
  const double estimated = made.fit.loo_error.value();

  // 5. Is the estimate of its error true? Here the function is cheap enough to look.
  const auto test = design::design(*V, {.method = design::Method::gauss, .points = 400});
  const Tensor miss =
      design::evaluate_fit(*V, made.fit.coefficients, test.points) - simulate(test.points);
  const double error = std::sqrt((test.weights / 400 * miss.square()).sum().item<double>());
  std::cout << "error " << error << ", estimated from the same points " << estimated << '\n';
  return error < 0.02 && estimated > error / 3 && estimated < error * 3 ? 0 : 1;
}
