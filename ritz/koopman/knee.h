#pragma once
// How many modes to keep: those before the knee of the sorted residuals.
//
//     #include <torch/types.h>
//     #include "ritz/koopman/knee.h"
//     int main() {
//       const auto values = torch::tensor({1., 2., 3., 13., 23.}, torch::kFloat64);
//       return ritz::koopman::knee(values) == 3 ? 0 : 1;
//     }
#include "ritz/koopman/kernel_edmd.h"

namespace ritz::koopman {

/// How many of the values (ascending, [n]) come before their curve turns up: for every split point
/// least-squares lines through (index, value) left and right of it, the point in both; the split
/// with the least sum of absolute errors wins, and the point itself counts as kept. n where n < 3.
/// (code: the sea-ice example of the authors of arXiv 2407.06312.) O(n^2).
int64_t knee(const Tensor& values);

/// The knee of the residuals, and one more where it falls between a complex pair's two.
int64_t kept_modes(const AdjointModes& modes);

}  // namespace ritz::koopman
