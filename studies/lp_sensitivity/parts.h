#pragma once
// The parts of the lp-sensitivity study. Each adds its claims, series and figures to the result.
#include <string>
#include <vector>

#include "ritz/rows/lp_sensitivity.h"
#include "studies/statistics.h"
#include "studies/study.h"

namespace ritz::studies::lp_sensitivity {

void root_leverage(const StudyContext& context, StudyResult& result);          // L1
void sensitivity_above_two(const StudyContext& context, StudyResult& result);  // L2
void recursion(const StudyContext& context, StudyResult& result);              // L3
void totals(const StudyContext& context, StudyResult& result);                 // L4
void structured(const StudyContext& context, StudyResult& result);             // L5
void robust_fit(const StudyContext& context, StudyResult& result);             // L6
void real_data(const StudyContext& context, StudyResult& result);              // R1, R2

/// A rule and its scores, drawn from as often as one likes.
struct Rule {
  std::string name;
  Tensor scores;
};
/// One draw of about m rows.
rows::Sample draw(const Rule& rule, double m, uint64_t seed);

/// Half the distance of the quartiles: how far draws scatter.
double spread(std::vector<double> values);

/// How much worse than the optimum over all rows l_1 fits on samples are: excess[rule][size],
/// medians over draws, and every draw of the size `at`.
struct Excess {
  double optimum = 0, optimum_gap = 0, optimum_seconds = 0, sample_seconds = 0;
  std::vector<std::string> rules;
  std::vector<double> sizes;
  std::vector<std::vector<double>> medians;  // [rule][size]
  std::vector<double> at_size, spread_at_size;
};
Excess measure_excess(const StudyContext& context, const std::string& what, const Tensor& A,
                      const Tensor& b, const std::vector<double>& sizes, double at, int64_t draws);
/// Its series and its picture, named `name`.
void show_excess(const Excess& excess, const std::string& name, const std::string& caption,
                 StudyResult& result);

}  // namespace ritz::studies::lp_sensitivity
