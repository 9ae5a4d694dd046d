#pragma once
// Few rows that keep every l_p norm: sensitivities, Lewis weights, coresets, their verification,
// and l_p regression. D. P. Woodruff, T. Yasuda, "Sharper Bounds for l_p Sensitivity Sampling",
// ICML 2023.
//
//     #include "ritz/base/random.h"
//     #include "ritz/rows/lp_sensitivity.h"
//     #include <torch/types.h>
//     int main() {  // robust regression on a thousand weighted rows of 20000, a tenth of them wrong
//       ritz::RandomStream random(1, 0);
//       const auto A = random.normal({20000, 5}, torch::kFloat64), x = torch::ones({5}, torch::kFloat64);
//       const auto b = A.mv(x) + 0.1 * random.normal({20000}, torch::kFloat64);
//       b.narrow(0, 0, 2000).add_(50);
//       const auto M = torch::cat({A, b.unsqueeze(1)}, 1);
//       const auto kept = ritz::rows::coreset(M, {.p = 1, .size = {.rows = 1000}});
//       const auto fit = ritz::rows::lp_regression(A.index_select(0, kept.indices),
//                                                  b.index_select(0, kept.indices), {.p = 1}, kept.weights);
//       return (fit.solution - x).abs().max().item<double>() < 0.1 ? 0 : 1;
//     }
#include "ritz/rows/lp_sensitivity/coreset.h"
#include "ritz/rows/lp_sensitivity/lewis.h"
#include "ritz/rows/lp_sensitivity/lp_minimise.h"
#include "ritz/rows/lp_sensitivity/sensitivity.h"
#include "ritz/rows/lp_sensitivity/verify.h"
