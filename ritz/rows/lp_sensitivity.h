#pragma once
// Few rows that keep every l_p norm: sensitivities, Lewis weights, coresets, their verification,
// and l_p regression. D. P. Woodruff, T. Yasuda, "Sharper Bounds for l_p Sensitivity Sampling",
// ICML 2023.
//
//   #include "ritz/rows/lp_sensitivity.h"
//
//   // A [n, d] and b [n], n large: robust regression on a thousand weighted rows.
//   const auto M = torch::cat({A, b.unsqueeze(1)}, 1);
//   const auto kept = ritz::rows::coreset(M, {.p = 1, .size = {.rows = 1000}});
//   const auto fit = ritz::rows::lp_regression(A.index_select(0, kept.indices),
//                                              b.index_select(0, kept.indices), {.p = 1},
//                                              kept.weights);
#include "ritz/rows/lp_sensitivity/coreset.h"
#include "ritz/rows/lp_sensitivity/lewis.h"
#include "ritz/rows/lp_sensitivity/lp_minimise.h"
#include "ritz/rows/lp_sensitivity/sensitivity.h"
#include "ritz/rows/lp_sensitivity/verify.h"
