// Observables in the orthonormal basis of a dictionary.
#include "ritz/koopman/observable.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace ritz::koopman {
namespace {

using torch::kComplexDouble;
using torch::kFloat64;

TEST(Observable, CoordinatesAreThoseOfTheWeightedProjection) {
  RandomStream random(2, stream_id("tests/observable"));
  const int64_t M = 70;
  const Tensor X = random.normal({M, 3}, kFloat64), Y = random.normal({M, 3}, kFloat64);
  const Tensor w = random.uniform({M}, kFloat64, .1, 1), g = random.normal({M}, kComplexDouble);
  const auto s = pairs(X, Y, {.weights = w});
  const auto dictionary = polynomial_dictionary(3, 10);
  const auto reduction = reduce(*dictionary, s);
  const auto found = project(*dictionary, s, reduction, g);
  const Tensor root = w.sqrt().unsqueeze(1);
  const Tensor A = ((*dictionary)(X)*root).to(kComplexDouble), b = g * root.squeeze(1);
  const Tensor fit = A.mv(std::get<0>(torch::linalg_lstsq(A, b.unsqueeze(1))).squeeze(1));
  EXPECT_NEAR(found.energy, b.abs().square().sum().item<double>(), 1e-12);
  EXPECT_NEAR(found.captured(), fit.abs().square().sum().item<double>() / found.energy, 1e-12);
  // A function of the dictionary is all there, with the coordinates R e_j.
  const Tensor third = (*dictionary)(X).select(1, 2);
  const auto inside = project(*dictionary, s, reduction, third);
  EXPECT_NEAR(inside.captured(), 1, 1e-12);
  EXPECT_LT((inside.coordinates - reduction.R.select(1, 2)).abs().max().item<double>(), 1e-12);
}

TEST(Observable, RefusesWhatDoesNotFit) {
  const auto s = trajectories(torch::rand({20, 2}, kFloat64));
  const auto dictionary = linear_dictionary(2);
  const auto reduction = reduce(*dictionary, s);
  EXPECT_THROW(project(*dictionary, s, reduction, torch::ones({20}, kFloat64)), InvalidArgument);
  EXPECT_THROW(project(*dictionary, s, reduction, torch::zeros({19}, kFloat64)), InvalidArgument);
  EXPECT_THROW(project(*dictionary, s, reduction, torch::full({19}, std::nan(""), kFloat64)),
               InvalidArgument);
}

}  // namespace
}  // namespace ritz::koopman
