#pragma once
// The parts of the dpp-least-squares study, one a label of the specification. Each adds its claims,
// series and figures to the result.
#include "ritz/design/least_squares.h"
#include "ritz/design/plan.h"
#include "studies/study.h"

namespace ritz::studies::dpp_least_squares {

/// D1: how often a design is stable, in one variable.
void stability(const StudyContext& context, StudyResult& result);
/// D2: the error of the fit beside the best approximation's.
void errors(const StudyContext& context, StudyResult& result);
/// D3: the fit from volume sampling is unbiased.
void unbiasedness(const StudyContext& context, StudyResult& result);
/// D4: two and five variables.
void several_variables(const StudyContext& context, StudyResult& result);
/// R1: a function whose evaluation is a simulation.
void simulation(const StudyContext& context, StudyResult& result);

/// The share of `draws` designs with ||G - I|| <= 0.9, and quantiles of ||G - I||.
struct Stability {
  double probability = 0;
  double low = 0, median = 0, high = 0;  // quartiles of ||G - I||
};
Stability measure_stability(const design::Space& space, design::Method method, int64_t n,
                            int64_t draws, uint64_t seed);

/// f's coefficients in V and e = ||f - P f||, by a quadrature rule for mu (points [N, d], weights
/// [N] of sum 1) that is exact to rounding.
struct BestApproximation {
  Tensor coefficients;  // [m]
  double error = 0;     // e
};
BestApproximation best_approximation(const design::Space& space, const design::Function& f,
                                     const Tensor& points, const Tensor& weights);

/// sqrt(mean ||f - f^||^2) / e over `draws` designs conditioned on lambda_min(G) >= 0.1.
struct ErrorRatio {
  double rms = 0;      // of ||f - f^|| / e
  double redraws = 0;  // a design
};
ErrorRatio measure_errors(const design::Space& space, const design::Function& f,
                          const BestApproximation& best, design::Method method, int64_t n,
                          int64_t draws, uint64_t seed);

}  // namespace ritz::studies::dpp_least_squares
